"""GoogLeNet: Szegedy et al., "Going Deeper with Convolutions", 2014, on torchvision's modules.

As in torchvision (and in the TensorFlow original that its weights come from), the 5x5 convolutions are 3x3 and
every convolution has batch norm. A fresh network has the paper's two auxiliary heads, which answer in training
mode only (`models/auxiliary.py` adds them to the loss). The published weights have none worth keeping: they were
never trained there.
"""

from __future__ import annotations

from torch import nn
from torchvision import models as torchvision_models

from models.registry import register_torchvision


def build_googlenet(num_classes: int = 1000, *, aux_logits: bool = True, transform_input: bool = False) -> nn.Module:
    """GoogLeNet. transform_input: take ImageNet's mean and std off again, as the published weights expect."""
    network: nn.Module = torchvision_models.googlenet(
        num_classes=num_classes, aux_logits=aux_logits, transform_input=transform_input, init_weights=True
    )
    return network


register_torchvision(
    "googlenet",
    "GoogLeNet",
    year=2014,
    paper="Szegedy et al., Going Deeper with Convolutions",
    family="googlenet",
    build=build_googlenet,
    head="fc",
    auxiliary=("aux1.fc2", "aux2.fc2"),
    arguments={"aux_logits": True, "transform_input": False},
    pretrained={"aux_logits": False, "transform_input": True},
    backbone=(
        *("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3"),
        *(f"inception4{letter}" for letter in "abcde"),
        *("maxpool4", "inception5a", "inception5b", "avgpool"),
    ),
    cam="inception5b",
)

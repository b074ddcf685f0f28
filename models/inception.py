"""Inception v3: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015.

On torchvision's modules. A fresh network and the published weights both have the auxiliary head, which answers in
training mode only (`models/auxiliary.py` adds it to the loss); there it needs pictures of 299 pixels or more.
"""

from __future__ import annotations

from torch import nn
from torchvision import models as torchvision_models

from models.registry import register_torchvision


def build_inception(num_classes: int = 1000, *, aux_logits: bool = True, transform_input: bool = False) -> nn.Module:
    """Inception v3. transform_input: take ImageNet's mean and std off again, as the published weights expect."""
    network: nn.Module = torchvision_models.inception_v3(
        num_classes=num_classes, aux_logits=aux_logits, transform_input=transform_input, init_weights=True
    )
    return network


register_torchvision(
    "inception_v3",
    "Inception v3",
    year=2015,
    paper="Szegedy et al., Rethinking the Inception Architecture for Computer Vision",
    family="inception",
    build=build_inception,
    head="fc",
    auxiliary=("AuxLogits.fc",),
    arguments={"aux_logits": True, "transform_input": False},
    pretrained={"transform_input": True},
    backbone=(
        *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
        *(f"Mixed_{name}" for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")),
        "avgpool",
    ),
    cam="Mixed_7c",
)

"""ResNet: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015, on torchvision's modules.

torchvision's bottleneck puts the stride on the 3x3 convolution instead of the first 1x1 ("ResNet v1.5").
"""

from __future__ import annotations

from models.registry import register_torchvision

BACKBONE = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")

for _depth in (18, 34, 50, 101, 152):
    register_torchvision(
        f"resnet{_depth}",
        f"ResNet-{_depth}",
        year=2015,
        paper="He et al., Deep Residual Learning for Image Recognition",
        family="resnet",
        head="fc",
        backbone=BACKBONE,
        cam="layer4",
    )

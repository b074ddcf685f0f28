"""ResNet: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015, on torchvision's modules.

torchvision's bottleneck puts the stride on the 3x3 convolution instead of the first 1x1 ("ResNet v1.5").
"""

from __future__ import annotations

from torchvision import models as torchvision_models

from models.registry import Entry, register

_PAPER = "He et al., Deep Residual Learning for Image Recognition"

for _name, _title, _build, _parameters in (
    ("resnet18", "ResNet-18", torchvision_models.resnet18, 11_689_512),
    ("resnet50", "ResNet-50", torchvision_models.resnet50, 25_557_032),
):
    register(
        Entry(
            name=_name,
            title=_title,
            year=2015,
            paper=_PAPER,
            build=_build,
            head="fc",
            parameters=_parameters,
        )
    )

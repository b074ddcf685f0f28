"""EfficientNet: Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019.

On torchvision's modules.
"""

from __future__ import annotations

from torchvision import models as torchvision_models

from models.registry import IMAGENET, Entry, register

register(
    Entry(
        name="efficientnet_b0",
        title="EfficientNet-B0",
        year=2019,
        paper="Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        build=torchvision_models.efficientnet_b0,
        head="classifier.1",
        parameters=5_288_548,
        preprocess=IMAGENET.model_copy(update={"interpolation": "bicubic"}),
    )
)

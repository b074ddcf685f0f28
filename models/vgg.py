"""VGG: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014.

On torchvision's modules; `_bn` has batch normalisation, which the paper could not know yet.
"""

from __future__ import annotations

from models.registry import register_torchvision

_PAPER = "Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition"

# The last ReLU before the last pooling layer, whose maps are 14x14 instead of 7x7.
_LAST_RELU = {
    "vgg11": 19,
    "vgg13": 23,
    "vgg16": 29,
    "vgg19": 35,
    "vgg11_bn": 27,
    "vgg13_bn": 33,
    "vgg16_bn": 42,
    "vgg19_bn": 51,
}

for _name, _index in _LAST_RELU.items():
    register_torchvision(
        _name,
        "VGG-" + _name[3:5] + (" with batch norm" if _name.endswith("_bn") else ""),
        year=2014,
        paper=_PAPER,
        family="vgg",
        head="classifier.6",
        backbone=("features", "avgpool"),
        cam=f"features.{_index}",
    )

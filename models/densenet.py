"""DenseNet: Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks", 2016.

On torchvision's modules.
"""

from __future__ import annotations

from models.registry import register_torchvision

for _depth in (121, 161, 169, 201):
    register_torchvision(
        f"densenet{_depth}",
        f"DenseNet-{_depth}",
        year=2016,
        paper="Huang et al., Densely Connected Convolutional Networks",
        family="densenet",
        head="classifier",
        backbone=("features",),
        cam="features",
    )

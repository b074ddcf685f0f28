"""EfficientNet: Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019; V2: Tan, Le,
"EfficientNetV2: Smaller Models and Faster Training", 2021. On torchvision's modules.

Compound scaling: one number φ sets depth α^φ, width β^φ and resolution γ^φ together. A network costs about
depth · width² · resolution², and α·β²·γ² ≈ 2, so every step of φ doubles the cost.
B1 to B7 are not these powers: their authors published rounded values by hand (`COEFFICIENTS`), with which B0 to B7
are built everywhere. `scaled` builds the power law's own network for any φ, under the name `efficientnet/PHI`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from torch import nn
from torchvision.models.efficientnet import EfficientNet, MBConvConfig

from models.blank import count_parameters, without_numbers
from models.errors import ScalingOutOfRange
from models.registry import IMAGENET, Entry, register_torchvision

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15
"""Section 3.3 of the paper: found by a grid search at φ = 1 under α·β²·γ² ≈ 2."""

BASE_RESOLUTION = 224

MAX_PHI = 10.0
"""Beyond this the network no longer fits into common memories: φ = 10 has 0.2 thousand million parameters."""

COEFFICIENTS = {
    "efficientnet_b0": (1.0, 1.0, 224),
    "efficientnet_b1": (1.0, 1.1, 240),
    "efficientnet_b2": (1.1, 1.2, 260),
    "efficientnet_b3": (1.2, 1.4, 300),
    "efficientnet_b4": (1.4, 1.8, 380),
    "efficientnet_b5": (1.6, 2.2, 456),
    "efficientnet_b6": (1.8, 2.6, 528),
    "efficientnet_b7": (2.0, 3.1, 600),
}
"""The authors' own (width, depth, resolution). torchvision evaluates its B2 at 288."""

_PAPER = "Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks"
_PAPER_V2 = "Tan and Le, EfficientNetV2: Smaller Models and Faster Training"

# Table 1 of the paper: expansion, kernel, stride, input maps, output maps, layers.
_B0_STAGES = (
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)


@dataclass(frozen=True)
class Scaling:
    """Multipliers of B0's layers and maps, and the side of the input picture in pixels, unrounded."""

    phi: float
    depth: float
    width: float
    resolution: float

    @property
    def pixels(self) -> int:
        """The resolution as a picture can have it."""
        return round(self.resolution)

    @property
    def cost(self) -> float:
        """Multiply-accumulates relative to φ = 0, as the paper estimates them: depth · width² · resolution²."""
        return self.depth * self.width**2 * (self.resolution / BASE_RESOLUTION) ** 2


def compound_scaling(phi: float) -> Scaling:
    """Depth 1.2^φ, width 1.1^φ, resolution 224 · 1.15^φ. Raises: ScalingOutOfRange."""
    if not (math.isfinite(phi) and 0 <= phi <= MAX_PHI):
        raise ScalingOutOfRange(phi, MAX_PHI)
    return Scaling(phi, depth=ALPHA**phi, width=BETA**phi, resolution=BASE_RESOLUTION * GAMMA**phi)


def scaling_table(phis: tuple[float, ...] = (0, 1, 2, 3, 4, 5, 6, 7)) -> tuple[Scaling, ...]:
    """One row per φ."""
    return tuple(compound_scaling(phi) for phi in phis)


def build_scaled(num_classes: int = 1000, *, width: float, depth: float, dropout: float = 0.2) -> nn.Module:
    """B0 with `width` times the maps (rounded to multiples of 8) and `depth` times the layers (rounded up)."""
    stages = [MBConvConfig(*stage, width_mult=width, depth_mult=depth) for stage in _B0_STAGES]
    network: nn.Module = EfficientNet(
        stages, dropout, num_classes=num_classes, norm_layer=partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
    )
    return network


def scaled(num_classes: int = 1000, *, phi: float) -> nn.Module:
    """The network of compound scaling at φ; dropout grows from B0's 0.2 to B7's 0.5. Raises: ScalingOutOfRange."""
    scaling = compound_scaling(phi)
    dropout = min(0.5, 0.2 + 0.3 * phi / 7)
    return build_scaled(num_classes, width=scaling.width, depth=scaling.depth, dropout=dropout)


def open_entry(text: str) -> Entry:
    """The entry of `efficientnet/PHI`. Raises: ScalingOutOfRange."""
    try:
        scaling = compound_scaling(float(text))
    except ValueError as error:
        raise ScalingOutOfRange(text, MAX_PHI) from error
    phi = scaling.phi
    with without_numbers():
        parameters = count_parameters(scaled(phi=phi))
    return Entry(
        name=f"efficientnet/{phi:g}",
        title=f"EfficientNet φ = {phi:g}",
        year=2019,
        paper=_PAPER,
        build=scaled,
        head="classifier.1",
        parameters=parameters,
        preprocess=IMAGENET.model_copy(
            update={"resize": scaling.pixels, "crop": scaling.pixels, "interpolation": "bicubic"}
        ),
        torchvision=False,
        arguments={"phi": phi},
        family="efficientnet",
        backbone=("features", "avgpool"),
        cam="features",
    )


for _name in (*COEFFICIENTS, "efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l"):
    _second = "_v2_" in _name
    register_torchvision(
        _name,
        ("EfficientNetV2-" if _second else "EfficientNet-") + _name.rpartition("_")[2].upper(),
        year=2021 if _second else 2019,
        paper=_PAPER_V2 if _second else _PAPER,
        family="efficientnet",
        head="classifier.1",
        backbone=("features", "avgpool"),
        cam="features",
    )

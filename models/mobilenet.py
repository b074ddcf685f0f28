"""MobileNet.

v1: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017; written
here, because torchvision has none.
v2: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018; torchvision's modules.
v3: Howard et al., "Searching for MobileNetV3", 2019; torchvision's modules.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.registry import Entry, register, register_torchvision

_V1_BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    *((1024, 2), (1024, 1)),
)
"""Table 1 of the paper: maps at width 1.0 and stride of each depthwise-separable block.

The paper prints stride 2 for the last depthwise layer too, but keeps 7x7: stride 1 is meant.
"""


def _conv(inputs: int, maps: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
    """Convolution, batch norm, ReLU: every layer of the paper but the last."""
    return [
        nn.Conv2d(inputs, maps, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(maps),
        nn.ReLU(inplace=True),
    ]


class MobileNetV1(nn.Module):
    """[N, 3, H, W] → [N, num_classes].

    width: the paper's multiplier α, 0 < α ≤ 1; every layer has α times the maps of Table 1.
    Parameters at 1.0 and 1,000 classes: stem 27·32 + 64 = 928, depthwise kernels 9·4,960 = 44,640, pointwise
    kernels 3,139,584, their batch norms 2·(4,960 + 5,952) = 21,824, classifier 1,000·(1,024 + 1) = 1,025,000;
    together 4,231,976.
    """

    def __init__(self, num_classes: int = 1000, *, width: float = 1.0) -> None:
        super().__init__()
        if not 0 < width <= 1:
            raise ValueError(f"width is {width}: expected 0 < width <= 1")
        inputs = int(32 * width)
        layers = _conv(3, inputs, kernel=3, stride=2)
        for base, stride in _V1_BLOCKS:
            maps = int(base * width)
            layers += _conv(inputs, inputs, kernel=3, stride=stride, groups=inputs)
            layers += _conv(inputs, maps, kernel=1, stride=1)
            inputs = maps
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.001)  # as in the authors' code; the paper only says "very little"
        self.classifier = nn.Linear(inputs, num_classes)
        self._initialise()

    def forward(self, image: Tensor) -> Tensor:
        features = self.avgpool(self.features(image)).flatten(1)
        logits: Tensor = self.classifier(self.dropout(features))
        return logits

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # torch's default assumes a linear network: 27 layers of it let the signal die out.
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


for _suffix, _width, _parameters in (
    ("", 1.0, 4_231_976),
    ("_075", 0.75, 2_585_560),
    ("_050", 0.5, 1_331_592),
    ("_025", 0.25, 470_072),
):
    register(
        Entry(
            name=f"mobilenet_v1{_suffix}",
            title=f"MobileNet v1 {_width:g}",
            year=2017,
            paper="Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
            build=MobileNetV1,
            head="classifier",
            parameters=_parameters,
            torchvision=False,
            arguments={"width": _width},
            family="mobilenet",
            backbone=("features", "avgpool"),
            cam="features",
        )
    )

register_torchvision(
    "mobilenet_v2",
    "MobileNetV2",
    year=2018,
    paper="Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    family="mobilenet",
    head="classifier.1",
    backbone=("features",),
    cam="features",
)

for _size in ("small", "large"):
    register_torchvision(
        f"mobilenet_v3_{_size}",
        f"MobileNetV3-{_size.capitalize()}",
        year=2019,
        paper="Howard et al., Searching for MobileNetV3",
        family="mobilenet",
        head="classifier.3",
        backbone=("features", "avgpool"),
        cam="features",
    )

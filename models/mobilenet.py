"""MobileNet on torchvision's modules.

v2: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018.
v3: Howard et al., "Searching for MobileNetV3", 2019.
"""

from __future__ import annotations

from torchvision import models as torchvision_models

from models.registry import Entry, register

_V2 = "Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks"
_V3 = "Howard et al., Searching for MobileNetV3"

for _name, _title, _year, _paper, _build, _head, _parameters in (
    ("mobilenet_v2", "MobileNetV2", 2018, _V2, torchvision_models.mobilenet_v2, "classifier.1", 3_504_872),
    (
        "mobilenet_v3_small",
        "MobileNetV3-Small",
        2019,
        _V3,
        torchvision_models.mobilenet_v3_small,
        "classifier.3",
        2_542_856,
    ),
    (
        "mobilenet_v3_large",
        "MobileNetV3-Large",
        2019,
        _V3,
        torchvision_models.mobilenet_v3_large,
        "classifier.3",
        5_483_032,
    ),
):
    register(
        Entry(
            name=_name,
            title=_title,
            year=_year,
            paper=_paper,
            build=_build,
            head=_head,
            parameters=_parameters,
        )
    )

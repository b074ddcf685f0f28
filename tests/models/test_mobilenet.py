from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from models.blank import count_parameters
from models.describe import describe
from models.mobilenet import MobileNetV1


def counted(width: float, classes: int) -> int:
    """Table 1 of the paper by hand: kernels, two numbers per batch norm and map, the classifier."""
    maps = [int(base * width) for base in (32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)]
    total = 27 * maps[0] + 2 * maps[0]
    for before, after in pairwise(maps):
        total += 9 * before + 2 * before + before * after + 2 * after
    return total + (maps[-1] + 1) * classes


def test_the_published_count() -> None:
    assert counted(1.0, 1000) == count_parameters(MobileNetV1()) == 4_231_976


@pytest.mark.parametrize("width", [0.25, 0.5, 0.75, 1.0])
def test_every_width(width: float) -> None:
    assert count_parameters(MobileNetV1(7, width=width)) == counted(width, 7)


# Tables 6 and 7 of the paper: millions of multiply-adds.
@pytest.mark.parametrize(
    ("name", "pixels", "millions"),
    [
        ("mobilenet_v1", 224, 569),
        ("mobilenet_v1_075", 224, 325),
        ("mobilenet_v1_050", 224, 149),
        ("mobilenet_v1_025", 224, 41),
        ("mobilenet_v1", 192, 418),
        ("mobilenet_v1", 160, 290),
        ("mobilenet_v1", 128, 186),
    ],
)
def test_the_papers_multiply_adds(name: str, pixels: int, millions: int) -> None:
    assert describe(name, pixels=pixels).macs / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize("width", [0, -1, 1.5])
def test_a_width_out_of_range(width: float) -> None:
    with pytest.raises(ValueError, match="expected 0 < width <= 1"):
        MobileNetV1(width=width)


def test_fresh_weights_keep_the_signal_alive() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        features = MobileNetV1().train().features(torch.randn(4, 3, 96, 96))
    assert 0.1 < float(features.std()) < 10

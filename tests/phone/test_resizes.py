"""scripts/measure_phone_resizes.py: the platforms' ways as they are described."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle.manifest import Preprocess
from tests.pictures import noise

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SPEC = Preprocess(resize=10, crop=8, mean=(0, 0, 0), std=(1, 1, 1))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.delitem(sys.modules, "phone_sections", raising=False)
    return runpy.run_path(str(SCRIPTS / "measure_phone_resizes.py"))


def test_two_by_two_enlarges_as_pillow_does(script: dict[str, Any]) -> None:
    """Where nothing is to be smoothed the two are the same filter."""
    small = noise(9, 7, 1)
    large = np.asarray(small.resize((31, 22), Image.Resampling.BILINEAR), dtype=np.int16)
    assert np.abs(np.asarray(script["two_by_two"](small, (31, 22)), dtype=np.int16) - large).max() <= 1


def test_two_by_two_skips_pixels_where_it_reduces(script: dict[str, Any]) -> None:
    """A line between the samples is not seen, however white; an antialiased resize sees it."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, 8] = 255
    found = np.asarray(script["two_by_two"](Image.fromarray(pixels), (8, 8)))
    assert found.max() == 0
    assert np.asarray(Image.fromarray(pixels).resize((8, 8), Image.Resampling.BILINEAR)).max() > 0


def test_every_way_gives_the_networks_tensor(script: dict[str, Any]) -> None:
    for name, way in script["WAYS"].items():
        found = way(noise(40, 30, 2), SPEC)
        assert (found.shape, found.dtype) == ((8, 8, 3), np.uint8), name


def test_the_cost_is_paired(script: dict[str, Any]) -> None:
    truth = np.array([0, 1, 2, 3])
    found = script["cost"](np.array([0, 1, 9, 8]), np.array([0, 9, 2, 9]), truth)
    low, high = found.pop("gain_95")
    assert found == {"right": 2, "changed": 3, "lost": 1, "won": 1, "gain": 0.0}
    assert low < 0 < high

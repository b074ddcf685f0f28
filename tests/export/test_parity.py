from __future__ import annotations

import numpy as np
import pytest

from export.errors import ParityFailed, UnknownTarget
from export.parity import compare
from export.targets import TARGETS, find_targets

ONNX = TARGETS["onnx"]


def answers(seed: int = 0) -> np.ndarray:
    scores = np.random.default_rng(seed).random((50, 4)).astype(np.float32)
    return scores / scores.sum(axis=1, keepdims=True)


def test_the_record_has_the_measured_figures() -> None:
    reference = answers()
    found = reference.copy()
    found[7, 2] += 5e-5
    parity = compare(ONNX, found, reference)
    assert parity.n == 50
    assert parity.max_abs_difference == pytest.approx(5e-5, rel=1e-2)
    assert (parity.top1_agreement, parity.tolerance) == (1.0, 1e-4)


def test_a_difference_beyond_the_tolerance_is_told_with_its_size() -> None:
    reference = answers()
    with pytest.raises(ParityFailed, match=r"differs by 0\.01 \(allowed 0\.0001\), top-1 agrees on \d+\.\d% of 50"):
        compare(ONNX, reference + np.float32(0.01), reference)


def test_flips_within_the_tolerance_are_counted() -> None:
    tie = np.tile(np.array([0.25, 0.25, 0.25, 0.25], np.float32), (50, 1))
    flipped = tie.copy()
    flipped[:, 1] += 5e-5
    with pytest.raises(ParityFailed, match=r"agrees on 0\.0% of 50 pictures \(at least 99\.0%\)"):
        compare(ONNX, flipped, tie)


def test_another_shape_and_nan_are_no_match() -> None:
    reference = answers()
    with pytest.raises(ParityFailed, match="shape"):
        compare(ONNX, reference[:, :3], reference)
    broken = reference.copy()
    broken[0, 0] = np.nan
    with pytest.raises(ParityFailed, match="1 values are not finite"):
        compare(ONNX, broken, reference)


def test_targets_are_found_once_each() -> None:
    assert [target.name for target in find_targets(["onnx", "onnx"])] == ["onnx"]
    with pytest.raises(UnknownTarget, match=r"'onyx' \(near: onnx\)"):
        find_targets(["onyx"])

from __future__ import annotations

import numpy as np
import pytest

from export.accuracy import accuracy_of


def one_hot(classes: list[int]) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[classes]


def test_the_drop_is_paired() -> None:
    labels = np.array([0, 1, 2, 0] * 25)
    reference = one_hot([0, 1, 2, 1] * 25)
    found = one_hot([0, 1, 0, 0] * 25)
    accuracy = accuracy_of(found, reference, labels)
    assert (accuracy.top1, accuracy.reference_top1, accuracy.drop) == (0.75, 0.75, 0.0)
    assert accuracy.passed
    low, high = accuracy.drop_interval
    # 25 won, 25 lost of 100: standard deviation 0.7107, over 10.
    assert (low, high) == (pytest.approx(-0.1393, abs=1e-3), pytest.approx(0.1393, abs=1e-3))


@pytest.mark.parametrize(("wrong", "passed"), [(0, True), (1, True), (2, False)])
def test_the_gate_is_99_percent_of_the_reference(wrong: int, passed: bool) -> None:
    labels = np.zeros(100, dtype=np.int64)
    found = one_hot([1] * wrong + [0] * (100 - wrong))
    assert accuracy_of(found, one_hot([0] * 100), labels).passed is passed

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.accuracy import Gate, accuracy_of, paired_interval


def one_hot(classes: list[int]) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[classes]


def test_the_drop_is_paired() -> None:
    labels = np.array([0, 1, 2, 0] * 25)
    reference = one_hot([0, 1, 2, 1] * 25)
    found = one_hot([0, 1, 0, 0] * 25)
    accuracy = accuracy_of(found, reference, labels, Gate(max_class_drop=1))
    assert (accuracy.top1, accuracy.reference_top1, accuracy.drop) == (0.75, 0.75, 0.0)
    assert accuracy.passed
    low, high = accuracy.drop_interval
    # 25 won, 25 lost of 100: 1.96 * sqrt(51) / 102.
    assert (low, high) == (pytest.approx(-0.1372, abs=1e-3), pytest.approx(0.1372, abs=1e-3))


@pytest.mark.parametrize(("wrong", "passed"), [(0, True), (1, True), (2, False)])
def test_the_gate_is_99_percent_of_the_reference(wrong: int, passed: bool) -> None:
    labels = np.zeros(100, dtype=np.int64)
    found = one_hot([1] * wrong + [0] * (100 - wrong))
    assert accuracy_of(found, one_hot([0] * 100), labels, Gate()).passed is passed


def test_an_interval_without_a_flip_is_no_point() -> None:
    low, high = paired_interval(0, 0, 300)
    assert low < 0 < high < 0.01


@given(lost=st.integers(0, 200), won=st.integers(0, 200), same=st.integers(1, 2000))
def test_the_interval_has_the_drop_inside_and_mirrors(lost: int, won: int, same: int) -> None:
    n = lost + won + same
    low, high = paired_interval(lost, won, n)
    assert -1 <= low <= (lost - won) / n <= high <= 1
    assert paired_interval(won, lost, n) == (pytest.approx(-high), pytest.approx(-low))


def test_flips_are_counted_by_pair_and_recall_by_class() -> None:
    labels = np.array([0] * 10 + [1] * 10)
    reference = one_hot([0] * 10 + [1] * 10)
    found = one_hot([1] * 4 + [0] * 6 + [2] + [1] * 9)
    accuracy = accuracy_of(found, reference, labels, Gate(max_class_drop=0.5))
    assert [(flip.reference, flip.found, flip.count) for flip in accuracy.flips] == [(0, 1, 4), (1, 2, 1)]
    assert accuracy.recall_change == (-0.4, -0.1, None)
    assert (accuracy.lost, accuracy.won) == (5, 0)


@pytest.mark.parametrize(("lost", "passed"), [(10, True), (11, False)])
def test_a_class_must_not_lose_more_than_its_share(lost: int, passed: bool) -> None:
    labels = np.array([0] * 100 + [1] * 10000)
    found = one_hot([1] * lost + [0] * (100 - lost) + [1] * 10000)
    assert accuracy_of(found, one_hot(labels.tolist()), labels, Gate()).passed is passed


def test_two_pictures_of_a_small_class_may_go() -> None:
    labels = np.array([0] * 3 + [1] * 1000)
    for lost, passed in ((2, True), (3, False)):
        found = one_hot([1] * lost + [0] * (3 - lost) + [1] * 1000)
        assert accuracy_of(found, one_hot(labels.tolist()), labels, Gate()).passed is passed

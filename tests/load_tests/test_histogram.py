"""Percentiles from buckets against percentiles from the values themselves."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.histogram import Histogram, bucket, middle

SECONDS = st.lists(st.floats(0, 1000), min_size=1, max_size=200)


def of(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(SECONDS, st.floats(0.001, 1))
def test_a_quantile_is_the_nearest_rank_to_a_thousandth(values: list[float], share: float) -> None:
    exact = sorted(values)[max(1, math.ceil(share * len(values) - 1e-9)) - 1]
    assert of(values).quantile(share) == pytest.approx(exact, rel=1.1e-3, abs=6e-7)


@given(SECONDS, SECONDS)
def test_two_add_up_to_one(first: list[float], second: list[float]) -> None:
    merged = Histogram.unpacked(of(first).packed())
    merged.merge(of(second))
    whole = of(first + second)
    assert merged.counts == whole.counts
    assert merged.count == len(first) + len(second)
    assert merged.longest == whole.longest
    assert merged.mean == pytest.approx(whole.mean)


@given(st.integers(0, 1 << 40))
def test_buckets_ascend_and_hold_their_middle(microseconds: int) -> None:
    assert bucket(microseconds) <= bucket(microseconds + 1) <= bucket(microseconds) + 1
    assert abs(middle(bucket(microseconds)) - microseconds) <= max(0.5, microseconds / 1024)


def test_nothing_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram().mean is None

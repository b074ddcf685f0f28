from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle.manifest import ReferenceDistribution
from service.drift import Drift, stability_index
from tests.pictures import encode, plain
from tests.service.conftest import Served

REFERENCE = ReferenceDistribution(
    class_frequencies=(0.5, 0.3, 0.2), confidence_histogram=(0.0,) * 5 + (0.1, 0.1, 0.2, 0.2, 0.4)
)


def filled(classes: tuple[float, ...], pictures: int, window: int = 1000) -> dict:
    drift, order = Drift(REFERENCE, 1000, window), np.random.default_rng(0)
    levels = order.choice(10, pictures, p=REFERENCE.confidence_histogram)
    for index, level in zip(order.choice(3, pictures, p=classes), levels, strict=True):
        drift.add(int(index), (level + 0.5) / 10)
    return drift.report()


def test_the_same_distribution_is_no_drift() -> None:
    report = filled((0.5, 0.3, 0.2), 1000)
    for of in ("classes", "confidence"):
        assert report[of]["psi"] < 0.03
        assert report[of]["by_chance"] < 0.03


def test_another_distribution_is_drift_of_what_changed() -> None:
    report = filled((0.1, 0.1, 0.8), 1000)
    assert report["classes"]["psi"] > 0.25
    assert report["confidence"]["psi"] < 0.05


def test_few_pictures_say_nothing() -> None:
    report = filled((0.1, 0.1, 0.8), 99)
    assert report["pictures"] == 99
    assert report["classes"] == {"psi": None, "by_chance": None}


def test_only_the_window_counts() -> None:
    drift = Drift(REFERENCE, 1000, 200)
    for _ in range(1000):
        drift.add(2, 0.95)
    for number in range(200):
        drift.add((0, 0, 0, 0, 0, 1, 1, 1, 2, 2)[number % 10], 0.95)
    report = drift.report()
    assert report["pictures"] == 200
    assert report["classes"]["psi"] < 0.01


def test_by_chance_is_what_chance_gives() -> None:
    order = np.random.default_rng(1)
    reference = np.full(50, 0.02)
    found = [stability_index(order.multinomial(500, reference), reference, 10**9) for _ in range(300)]
    assert np.mean([index for index, _ in found]) == pytest.approx(found[0][1], rel=0.15)


@given(st.lists(st.integers(0, 50), min_size=3, max_size=3))
def test_the_index_is_finite_and_never_negative(counts: list[int]) -> None:
    index, chance = stability_index(np.array(counts), np.array([1.0, 0.0, 0.0]), 10)
    assert 0 <= index < 100
    assert 0 <= chance < 100


def test_the_route_and_the_metric(tiny_service: Served) -> None:
    red = encode(plain("red"))
    for _ in range(100):
        tiny_service.post(red)
    report = tiny_service.get("/models/tiny/drift").json()
    assert (report["model"], report["window"]) == ("tiny", 1000)
    assert report["pictures"] >= 100
    assert report["classes"]["psi"] > 0.25
    assert 'convoy_drift_psi{model="tiny",of="classes",version="1"}' in tiny_service.get("/metrics").text
    assert 'convoy_predictions_total{label="red",model="tiny",version="1"}' in tiny_service.get("/metrics").text

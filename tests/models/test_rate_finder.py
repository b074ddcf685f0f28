from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import TooFewSteps
from models.rate_finder import HIGHEST, LOWEST, SKIPPED, find_rate, render_rates, steepest
from models.recipe import resolve_recipe

RATES = [10 ** (-6 + 6 * step / 99) for step in range(100)]


def test_the_steepest_fall_is_found() -> None:
    """A loss that falls like a logistic curve around 1e-3 and explodes above 0.1."""
    losses = [2 - 1 / (1 + math.exp(-4 * (math.log10(rate) + 3))) + 40 * max(0, rate - 0.1) for rate in RATES]
    found = steepest(RATES, losses)
    assert found is not None
    assert 5e-4 < found < 2e-3


def test_a_loss_that_only_rises_gives_nothing() -> None:
    assert steepest(RATES, [1 + rate for rate in RATES]) is None


@given(st.lists(st.floats(0, 1e6), min_size=SKIPPED + 3, max_size=100))
def test_any_curve_gives_a_rate_that_was_tried_or_none(losses: list[float]) -> None:
    found = steepest(RATES[: len(losses)], losses)
    assert found is None or found in RATES[SKIPPED : len(losses)]


def test_the_finder_tries_rates_on_the_data_and_draws_them(colours: Path) -> None:
    found = find_rate(resolve_recipe("lenet5", colours, batch_size=8))
    assert found.rates[0] == pytest.approx(LOWEST, rel=0.2)
    assert found.rates[-1] <= HIGHEST
    assert found.rates == sorted(found.rates)
    assert found.suggestion is not None
    assert 1e-4 < found.suggestion < 0.5
    page = render_rates(found)
    assert f"steepest: {found.suggestion:.1e}" in page
    assert "http" not in page
    assert "<script" not in page


def test_a_loss_that_is_no_number_is_said_so(colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from models.learner import Learner

    original = Learner.training_step
    monkeypatch.setattr(Learner, "training_step", lambda self, *batch: original(self, *batch) * math.nan)
    with pytest.raises(TooFewSteps, match="only 0 learning rates could be tried"):
        find_rate(resolve_recipe("lenet5", colours, batch_size=8))

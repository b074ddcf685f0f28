from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from models.calibration import HIGHEST, LOWEST, fit_temperature


def answers(scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits whose true temperature is `scale`: labels are drawn from softmax(logits / scale)."""
    torch.manual_seed(0)
    logits = torch.randn(20_000, 5) * 2
    labels = torch.distributions.Categorical(logits=logits).sample()
    return logits * scale, labels


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_finds_the_temperature_that_made_the_labels(scale: float) -> None:
    assert fit_temperature(*answers(scale)) == pytest.approx(scale, rel=0.03)


def test_is_the_minimum_and_keeps_every_answer() -> None:
    logits, labels = answers(2.0)
    best = fit_temperature(logits, labels)
    loss = {t: float(cross_entropy(logits / t, labels)) for t in (best, best * 1.05, best / 1.05, 1.0)}
    assert min(loss, key=lambda t: loss[t]) == best
    assert torch.equal((logits / best).argmax(1), logits.argmax(1))


def test_stays_within_bounds_where_the_optimum_is_at_infinity() -> None:
    logits, labels = torch.tensor([[9.0, 0.0], [0.0, 9.0]]), torch.tensor([0, 1])
    assert LOWEST <= fit_temperature(logits, labels) < 1
    assert fit_temperature(logits, 1 - labels) == pytest.approx(HIGHEST, rel=1e-3)

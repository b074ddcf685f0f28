"""What is kept of a run, by runs whose course is known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.callbacks import BEST, averaging
from models.fit import Conditions
from models.history import Epoch
from models.learner import Learner
from models.recipe import resolve_recipe
from models.train import train

COURSE = [(0.5, 1.0), (0.75, 0.9), (0.75, 0.8), (0.75, 0.85), (0.5, 0.1), (0.75, 0.8)]
"""(accuracy, loss) of each epoch: the third is the best."""


def follow(monkeypatch: pytest.MonkeyPatch, course: list[tuple[float, float]]) -> None:
    def announce(self: Learner) -> None:
        accuracy, loss = course[self.current_epoch]
        self.log("val_accuracy", accuracy)
        self.log("val_loss", loss)

    monkeypatch.setattr(Learner, "on_validation_epoch_end", announce)


def test_the_best_is_the_most_accurate_and_of_those_the_surest(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow(monkeypatch, COURSE)
    saved: list[Epoch] = []
    best: list[int] = []
    original = torch.load

    def load(path: object, **options: object) -> object:
        state = original(path, **options)
        if str(path).endswith(BEST):
            best.append(state["epoch"])
        return state

    monkeypatch.setattr(torch, "load", load)
    conditions = Conditions(tell=lambda epoch, of, seconds: saved.append(epoch))
    trained = train(resolve_recipe("lenet5", colours, epochs=6, batch_size=36), tmp_path / "run", conditions=conditions)
    assert trained is not None
    assert (trained.epochs, trained.best) == (6, 3)
    assert best == [2]
    assert [(row["val_accuracy"], row["val_loss"]) for row in saved] == [pytest.approx(pair) for pair in COURSE]


def test_patience_ends_a_run_that_gets_no_better(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow(monkeypatch, [(0.5, 1), (0.6, 1), (0.6, 1), (0.6, 1), (0.9, 1), (0.9, 1)])
    trained = train(resolve_recipe("lenet5", colours, epochs=6, batch_size=36, patience=2), tmp_path / "run")
    assert trained is not None
    assert (trained.epochs, trained.best) == (4, 2)


def averaged(decay: float, values: list[float]) -> float:
    from torch.optim.swa_utils import AveragedModel

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2))
            self.register_buffer("count", torch.tensor(0))

    model = Holder()
    mean = AveragedModel(model, use_buffers=True, multi_avg_fn=averaging(decay)._kwargs["multi_avg_fn"])
    for number, value in enumerate(values):
        with torch.no_grad():
            model.weight.fill_(value)
            model.count.fill_(number)  # type: ignore[operator]
        mean.update_parameters(model)
    result: Tensor = mean.module.weight.detach()
    assert int(mean.module.count) == len(values) - 1  # whole numbers are taken, not averaged
    return float(result[0])


def test_the_average_follows_its_formula() -> None:
    values = [1.0, 3.0, -2.0, 5.0, 0.5]
    expected = values[0]
    for step, value in enumerate(values[1:], start=1):
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert averaged(0.3, values) == pytest.approx(expected)


def test_what_is_kept_is_the_average(colours: Path, tmp_path: Path) -> None:
    """With a constant rate the last weights jump about; the average is what was validated and written."""
    settings = {"epochs": 3, "batch_size": 4, "learning_rate": 0.01, "schedule": "constant"}
    for name, decay in (("plain", 0.0), ("averaged", 0.99)):
        train(resolve_recipe("lenet5", colours, ema=decay, **settings), tmp_path / name)
    state = torch.load(tmp_path / "averaged" / "last.ckpt", weights_only=True)
    assert {"current_model_state", "averaging_state"} <= state.keys()
    assert not torch.equal(state["state_dict"]["network.c1.weight"], state["current_model_state"]["network.c1.weight"])

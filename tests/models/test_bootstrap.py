"""Intervals that hold the truth as often as they say, on answers whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from models import bootstrap as module
from models.bootstrap import bootstrap, errors_by_chance, number_of_draws, of_error, of_share, percentiles
from models.evaluate import Evaluation, mean_of
from models.reliability import calibration_error
from tests.models.test_evaluate import make

REPEATS, FEWEST = 100, 82
"""Of 100 intervals of 95 % at least 82 hold the truth. Measured over 200: 0.90 (mAP, 10 classes of 30 pictures)
to 0.985 (ECE of a calibrated model); the bootstrap of small samples is a little too narrow, here as everywhere."""


def simulated(n: int, classes: int, seed: int, temperature: float) -> Evaluation:
    """Labels drawn from softmax(logits), answers of softmax(logits / temperature): calibrated at 1, too sure below."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=generator) * 2
    labels = torch.multinomial(torch.softmax(logits, dim=1), 1, generator=generator)[:, 0]
    return Evaluation(torch.softmax(logits / temperature, dim=1), labels)


def estimates(evaluation: Evaluation) -> dict[str, float]:
    return {
        "top1": evaluation.top1(),
        "macro_f1": evaluation.mean("f1", "macro"),
        "mean_average_precision": mean_of(evaluation.average_precisions()) or 0,
        "ece": evaluation.ece(),
    }


@pytest.mark.parametrize(("n", "classes", "temperature"), [(150, 3, 1.0), (300, 3, 0.5), (300, 10, 0.6)])
def test_the_intervals_hold_the_truth(
    monkeypatch: pytest.MonkeyPatch, n: int, classes: int, temperature: float
) -> None:
    monkeypatch.setattr(module, "DRAWS", 300)
    truth = estimates(simulated(200_000, classes, 12345, temperature))
    held = dict.fromkeys(truth, 0)
    for seed in range(REPEATS):
        evaluation = simulated(n, classes, seed, temperature)
        drawn = bootstrap(evaluation, 0)
        for name, values in drawn.items():
            low, high = percentiles(values)
            if name == "ece":
                low, high = of_error(values, evaluation.ece(), errors_by_chance(evaluation, 0))
            held[name] += low <= truth[name] <= high
    assert min(held.values()) >= FEWEST, held


@pytest.mark.parametrize("kind", ["random", "ties", "one class", "saturated"])
def test_a_draw_is_measured_as_the_pictures_themselves_would_be(kind: str) -> None:
    """Each draw spelled out, picture by picture, and given to scikit-learn."""
    evaluation = make(4, 40, 5, kind)
    drawn = bootstrap(evaluation, seed=9)
    draws = np.concatenate(list(module._draws(40, number_of_draws(evaluation), 9)), axis=1)
    labels, scores = evaluation.labels.numpy(), evaluation.probabilities.numpy()
    for number in range(0, 1000, 50):
        picked = np.repeat(np.arange(40), draws[:, number].astype(int))
        truth, probabilities = labels[picked], scores[picked]
        answers = probabilities.argmax(1)
        present = np.unique(truth)
        indicators = truth[:, None] == present
        expected = {
            "top1": accuracy_score(truth, answers),
            "macro_f1": f1_score(truth, answers, average="macro", zero_division=0),
            "mean_average_precision": average_precision_score(indicators, probabilities[:, present], average="macro"),
            "ece": calibration_error(probabilities.max(1), answers == truth),
        }
        for name, value in expected.items():
            assert drawn[name][number] == pytest.approx(value, abs=1e-5), name


def test_the_same_seed_gives_the_same_draws() -> None:
    evaluation = make(1, 50, 4)
    first, again, other = (bootstrap(evaluation, seed)["top1"] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = make(1, 50, 4)
    whole = bootstrap(evaluation, 0)
    monkeypatch.setattr(module, "_CHUNK", 1000)
    for name, values in bootstrap(evaluation, 0).items():
        np.testing.assert_allclose(values, whole[name], atol=1e-6)


def test_all_right_is_not_certainty() -> None:
    """Clopper and Pearson 1934: 140 of 140 right leaves 0.974 possible; the draws alone would say 1 to 1."""
    assert of_share(np.ones(10), 1.0, 140) == pytest.approx((0.974, 1.0), abs=1e-3)
    assert of_share(np.zeros(10), 0.0, 140) == pytest.approx((0.0, 0.026), abs=1e-3)


def test_more_work_means_fewer_draws() -> None:
    few = Evaluation(torch.zeros(100, 10), torch.arange(100) % 10)
    many = Evaluation(torch.zeros(50_000, 1000), torch.arange(50_000) % 1000)
    assert number_of_draws(few) == 1000
    assert number_of_draws(many) == 100

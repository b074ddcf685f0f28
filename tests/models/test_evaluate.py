"""Every metric against scikit-learn, on random and on degenerate answers, and against the textbook by hand."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
    top_k_accuracy_score,
)
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_f1_score

from models.evaluate import _MEASURES, Evaluation, mean_of
from models.figures import Figures
from models.measure import Answers, curve_of, measure
from models.reliability import BINS, reliability

TOLERANCE = 2e-6
"""Figures are rounded to six digits, and torchmetrics counts in float32."""

Kind = Literal["random", "ties", "all wrong", "all right", "one class", "saturated"]
KINDS = ("random", "ties", "all wrong", "all right", "one class", "saturated")
SCORES = {"precision": precision_score, "recall": recall_score, "f1": f1_score}


def make(seed: int, n: int, classes: int, kind: str = "random") -> Evaluation:
    """Few pictures in many classes leave classes absent, too; `ties`: whole numbers as logits."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=generator) * 2
    labels = torch.randint(0, classes, (n,), generator=generator)
    if kind == "ties":
        logits = logits.round().clamp(0, 1)
    elif kind == "one class":
        labels = torch.zeros_like(labels)
    elif kind == "saturated":
        logits = logits * 200
    elif kind == "all wrong":
        logits[range(n), labels] = -10
    elif kind == "all right":
        logits[range(n), labels] = 10
    return Evaluation(torch.softmax(logits, dim=1), labels)


def everything(check):  # type: ignore[no-untyped-def]
    """Any number of pictures, one included, any number of classes, every kind of trouble."""
    drawn = given(st.integers(0, 10_000), st.integers(1, 60), st.integers(2, 12), st.sampled_from(KINDS))
    return settings(max_examples=80)(example(0, 1, 2, "all wrong")(drawn(check)))


def same(found: float | None, expected: float) -> None:
    assert (found is None) == bool(np.isnan(expected)), (found, expected)
    assert found is None or found == pytest.approx(expected, abs=TOLERANCE)


@everything
def test_accuracies_equal_scikit_learn(seed: int, n: int, classes: int, kind: str) -> None:
    evaluation = make(seed, n, classes, kind)
    truth, scores = evaluation.labels.numpy(), evaluation.probabilities.numpy()
    same(evaluation.top1(), accuracy_score(truth, scores.argmax(1)))
    expected = top_k_accuracy_score(truth, scores, k=5, labels=list(range(classes))) if classes > 5 else 1.0
    same(evaluation.top5(), expected)


@everything
def test_precision_recall_and_f1_equal_scikit_learn(seed: int, n: int, classes: int, kind: str) -> None:
    evaluation = make(seed, n, classes, kind)
    truth, answers = evaluation.labels.numpy(), evaluation.probabilities.numpy().argmax(1)
    for name, score in SCORES.items():
        for average in ("macro", "micro", "weighted"):
            same(evaluation.mean(name, average), score(truth, answers, average=average, zero_division=0))  # type: ignore[arg-type]
        by_class = score(truth, answers, labels=list(range(classes)), average=None, zero_division=np.nan)
        for found, expected in zip(evaluation.by_class(name), by_class, strict=True):  # type: ignore[arg-type]
            same(found, expected)


@everything
def test_average_precision_and_auc_equal_scikit_learn(seed: int, n: int, classes: int, kind: str) -> None:
    evaluation = make(seed, n, classes, kind)
    truth, scores = evaluation.labels.numpy(), evaluation.probabilities.numpy()
    indicators = truth[:, None] == np.arange(classes)
    present = indicators.any(axis=0)
    for index, found in enumerate(evaluation.average_precisions()):
        same(found, average_precision_score(indicators[:, index], scores[:, index]) if present[index] else np.nan)
    expected = average_precision_score(indicators[:, present], scores[:, present], average="macro")
    same(mean_of(evaluation.average_precisions()), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn says that a class's AUC does not exist, and answers NaN
        aucs = np.array([roc_auc_score(indicators[:, index], scores[:, index]) for index in range(classes)])
    for found, auc in zip(evaluation.roc_aucs(), aucs, strict=True):
        same(found, auc)
    same(mean_of(evaluation.roc_aucs()), np.nan if np.isnan(aucs).all() else np.nanmean(aucs))


def test_the_macro_auc_is_scikit_learns_one_against_the_rest() -> None:
    evaluation = make(5, 200, 6)
    expected = roc_auc_score(evaluation.labels, evaluation.probabilities.double().softmax(1), multi_class="ovr")
    probabilities = evaluation.probabilities.double().softmax(1).float()
    same(mean_of(Evaluation(probabilities, evaluation.labels).roc_aucs()), expected)


@everything
def test_the_calibration_bins_are_scikit_learns(seed: int, n: int, classes: int, kind: str) -> None:
    evaluation = make(seed, n, classes, kind)
    confidence, correct = evaluation.confidence.numpy(), evaluation.correct.numpy()
    found = reliability(confidence, correct)
    filled = found.pictures > 0
    expected = calibration_curve(correct, confidence, n_bins=BINS, pos_label=True)
    np.testing.assert_allclose((found.correct / np.maximum(found.pictures, 1))[filled], expected[0], atol=1e-9)
    np.testing.assert_allclose((found.confidence / np.maximum(found.pictures, 1))[filled], expected[1], atol=1e-9)
    shares = found.pictures[filled] / n
    same(evaluation.ece(), float((shares * np.abs(expected[0] - expected[1])).sum()))


def test_the_calibration_error_is_torchmetrics_away_from_the_edges() -> None:
    evaluation = make(3, 500, 7)
    theirs = multiclass_calibration_error(evaluation.probabilities, evaluation.labels, 7, n_bins=BINS)
    assert evaluation.ece() == pytest.approx(float(theirs), abs=1e-5)


def test_a_confidence_of_exactly_one_is_in_the_last_bin() -> None:
    """torchmetrics gives it one of its own: |1 - 0|/2 + |0.96 - 1|/2 = 0.52 instead of |0.98 - 0.5|."""
    evaluation = Evaluation(torch.tensor([[1.0, 0.0], [0.04, 0.96]]), torch.tensor([1, 1]))
    assert evaluation.ece() == pytest.approx(0.48, abs=1e-6)
    theirs = multiclass_calibration_error(evaluation.probabilities, evaluation.labels, 2, n_bins=BINS)
    assert float(theirs) == pytest.approx(0.52, abs=1e-6)


@everything
def test_the_confusion_matrix_equals_scikit_learn(seed: int, n: int, classes: int, kind: str) -> None:
    evaluation = make(seed, n, classes, kind)
    figures = measure_of(evaluation)
    found = np.zeros((classes, classes), dtype=int)
    for truth, answer, count in figures.confusion:
        found[truth, answer] = count
    expected = confusion_matrix(evaluation.labels, evaluation.probabilities.argmax(1), labels=range(classes))
    assert (found == expected).all()


@everything
def test_curves_are_points_of_scikit_learns_and_add_up_to_the_area(seed: int, n: int, classes: int, kind: str) -> None:
    evaluation = make(seed, n, classes, kind)
    for index in evaluation.labels.unique().tolist():
        positive, scores = evaluation.labels == index, evaluation.probabilities[:, index]
        curve = curve_of(scores, positive)
        precision, recall, _ = precision_recall_curve(positive.numpy(), scores.numpy())
        points = np.stack((recall, precision), axis=1)
        for point in curve:
            assert np.abs(points - point).max(axis=1).min() < TOLERANCE
        steps = np.diff([0, *(recall for recall, _ in curve)])
        area = float((steps * [precision for _, precision in curve]).sum())
        assert area == pytest.approx(evaluation.average_precisions()[index], abs=2e-5)


def measure_of(evaluation: Evaluation) -> Figures:
    answers = Answers(evaluation.probabilities.clamp_min(1e-30).log(), evaluation.labels, 1.0)
    return measure(answers, [str(index) for index in range(evaluation.classes)], "0" * 64, "validation")


def test_the_textbook_by_hand() -> None:
    """Six pictures: cat cat cat dog dog owl, answered cat cat dog dog owl owl.

    precision = true positives / answers, recall = true positives / pictures, F1 = their harmonic mean.
    """
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    probabilities = torch.tensor(
        [
            [0.80, 0.10, 0.10],
            [0.60, 0.30, 0.10],
            [0.30, 0.50, 0.20],
            [0.15, 0.65, 0.20],
            [0.10, 0.20, 0.70],
            [0.05, 0.05, 0.90],
        ]
    )
    evaluation = Evaluation(probabilities, labels)
    assert evaluation.top1() == pytest.approx(4 / 6, abs=1e-6)
    assert evaluation.by_class("precision") == pytest.approx((2 / 2, 1 / 2, 1 / 2), abs=1e-6)
    assert evaluation.by_class("recall") == pytest.approx((2 / 3, 1 / 2, 1 / 1), abs=1e-6)
    assert evaluation.by_class("f1") == pytest.approx((4 / 5, 1 / 2, 2 / 3), abs=1e-6)
    assert evaluation.mean("f1", "macro") == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3, abs=1e-6)
    assert evaluation.mean("f1", "weighted") == pytest.approx((3 * 4 / 5 + 2 * 1 / 2 + 2 / 3) / 6, abs=1e-6)
    assert evaluation.mean("f1", "micro") == pytest.approx(4 / 6, abs=1e-6)
    # Ranked by the probability of dog: 0.65 dog, 0.50 cat, 0.30 cat, 0.20 dog, ...: precision 1/1 and 2/4.
    # Of cat: cat, cat, cat first: 1. Of owl: owl first: 1.
    assert evaluation.average_precisions() == pytest.approx((1, (1 / 1 + 2 / 4) / 2, 1), abs=1e-6)
    # Of 2 · 4 pairs (dog, other) 4 + 2 have the dog first: the other dog's 0.20 lies below two cats.
    assert evaluation.roc_aucs() == pytest.approx((1, (4 + 2) / 8, 1), abs=1e-6)
    # Confidences 0.80, 0.60, 0.65 and 0.90 right, 0.50 and 0.70 wrong; no two of them in one fifteenth.
    gaps = (0.2, 0.4, 0.5, 0.35, 0.7, 0.1)
    assert evaluation.ece() == pytest.approx(sum(gaps) / 6, abs=1e-6)


def test_counting_needs_no_memory_per_pair_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training leaves torch's deterministic mode on, in which torchmetrics would take n · K² bytes."""
    modes = []

    def spy(*arguments: object, **options: object) -> torch.Tensor:
        modes.append(torch.are_deterministic_algorithms_enabled())
        return multiclass_f1_score(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setitem(_MEASURES, "f1", spy)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        make(0, 50, 4).mean("f1", "macro")
        make(0, 50, 4).by_class("f1")
        assert modes == [False, False]
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_perfectly_sure_and_right_model_has_no_calibration_error() -> None:
    probabilities = torch.eye(3)[torch.tensor([0, 1, 2, 1])]
    assert Evaluation(probabilities, torch.tensor([0, 1, 2, 1])).ece() == 0
    assert Evaluation(probabilities, torch.tensor([1, 2, 0, 0])).ece() == 1


def test_the_reference_distribution_adds_up() -> None:
    reference = make(3, 500, 7).reference_distribution()
    assert sum(reference.class_frequencies) == pytest.approx(1, abs=1e-4)
    assert sum(reference.confidence_histogram) == pytest.approx(1, abs=1e-4)
    assert len(reference.confidence_histogram) == 10


@everything
def test_the_manifests_metrics_are_those_of_metrics_json(seed: int, n: int, classes: int, kind: str) -> None:
    evaluation = make(seed, n, classes, kind)
    assert measure_of(evaluation).metrics.top1 == evaluation.top1()
    answers = Answers(evaluation.probabilities.clamp_min(1e-30).log(), evaluation.labels, 1.7)
    figures = measure(answers, [str(index) for index in range(classes)], "0" * 64, "validation")
    assert figures.metrics == answers.calibrated.metrics("0" * 64, "validation")

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, recall_score, top_k_accuracy_score

from models.evaluate import Evaluation


def make(seed: int, n: int, classes: int) -> Evaluation:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=generator) * 2
    labels = torch.randint(0, classes, (n,), generator=generator)
    return Evaluation(torch.softmax(logits, dim=1), labels)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 80), st.integers(2, 12))
def test_equals_scikit_learn(seed: int, n: int, classes: int) -> None:
    evaluation = make(seed, n, classes)
    metrics = evaluation.metrics("0" * 64, "validation")
    truth, scores = evaluation.labels.numpy(), evaluation.probabilities.numpy()
    predicted, every = scores.argmax(1), list(range(classes))
    assert metrics.top1 == pytest.approx(accuracy_score(truth, predicted), abs=1e-5)
    if classes > 5:
        assert metrics.top5 == pytest.approx(top_k_accuracy_score(truth, scores, k=5, labels=every), abs=1e-5)
    else:
        assert metrics.top5 == 1.0
    recalls = recall_score(truth, predicted, labels=every, average=None, zero_division=np.nan)
    for found, expected in zip(metrics.per_class_recall, recalls, strict=True):
        assert (found is None) == np.isnan(expected)
        assert found is None or found == pytest.approx(expected, abs=1e-5)


def test_macro_f1_counts_only_classes_that_occur() -> None:
    probabilities = torch.eye(4)[torch.tensor([0, 1, 1, 0])] * 0.9 + 0.025
    evaluation = Evaluation(probabilities, torch.tensor([0, 1, 0, 0]))
    expected = f1_score([0, 1, 0, 0], [0, 1, 1, 0], average="macro")
    assert evaluation.metrics("0" * 64, "validation").macro_f1 == pytest.approx(expected, abs=1e-5)


def test_a_perfectly_sure_and_right_model_has_no_calibration_error() -> None:
    probabilities = torch.eye(3)[torch.tensor([0, 1, 2, 1])]
    assert Evaluation(probabilities, torch.tensor([0, 1, 2, 1])).metrics("0" * 64, "x").ece == pytest.approx(
        0, abs=1e-6
    )
    assert Evaluation(probabilities, torch.tensor([1, 2, 0, 0])).metrics("0" * 64, "x").ece == pytest.approx(
        1, abs=1e-6
    )


def test_the_reference_distribution_adds_up() -> None:
    reference = make(3, 500, 7).reference_distribution()
    assert sum(reference.class_frequencies) == pytest.approx(1, abs=1e-4)
    assert sum(reference.confidence_histogram) == pytest.approx(1, abs=1e-4)
    assert len(reference.confidence_histogram) == 10

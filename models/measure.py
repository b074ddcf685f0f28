"""A network's answers on labelled pictures → every figure of `metrics.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import binary_precision_recall_curve

from bundle.manifest import Preprocess
from models.bootstrap import bootstrap, errors_by_chance, number_of_draws, of_error, of_share, percentiles
from models.calibration import fit_temperature
from models.data import Pictures
from models.errors import NotFinite
from models.evaluate import Evaluation, Measure, mean_of, share
from models.figures import Averages, Bin, Calibration, ClassFigures, Figures, Interval, Intervals, Point
from models.inference import logits_of
from models.reliability import EDGES, reliability

SEED = 0
"""Of the bootstrap: the same pictures and answers give the same intervals."""

CURVE_POINTS = 100


@dataclass(frozen=True)
class Answers:
    """Logits float32 [n, K] on pictures of int64 [n] labels, and the temperature that calibrates them."""

    logits: Tensor
    labels: Tensor
    temperature: float

    @cached_property
    def calibrated(self) -> Evaluation:
        """What the exported network answers."""
        return Evaluation(torch.softmax(self.logits / self.temperature, dim=1), self.labels)

    @cached_property
    def uncalibrated(self) -> Evaluation:
        return Evaluation(torch.softmax(self.logits, dim=1), self.labels)


def labels_of(pictures: Pictures) -> Tensor:
    """int64 [n] of labelled pictures."""
    return torch.tensor([sample.label for sample in pictures.samples])


def answers_of(network: nn.Module, spec: Preprocess, pictures: Pictures, temperature: float | None = None) -> Answers:
    """The network's answers; without a temperature, one is fitted to these pictures. Raises: NotFinite."""
    logits, labels = logits_of(network, spec, pictures.batches(spec)), labels_of(pictures)
    bad = int((~torch.isfinite(logits)).any(dim=1).sum())
    if bad:
        raise NotFinite(bad, len(labels))
    return Answers(logits, labels, fit_temperature(logits, labels) if temperature is None else temperature)


def measure(answers: Answers, labels: Sequence[str], fingerprint: str, split: str) -> Figures:
    """Every figure of the calibrated answers. labels: the classes' names."""
    evaluation = answers.calibrated
    metrics = evaluation.metrics(fingerprint, split)
    average_precisions, aucs = evaluation.average_precisions(), evaluation.roc_aucs()
    return Figures(
        dataset_fingerprint=fingerprint,
        split=split,
        n=metrics.n,
        temperature=answers.temperature,
        top1=metrics.top1,
        top5=metrics.top5,
        precision=_averages(evaluation, "precision"),
        recall=_averages(evaluation, "recall"),
        f1=_averages(evaluation, "f1"),
        mean_average_precision=mean_of(average_precisions) or 0.0,
        roc_auc=mean_of(aucs),
        calibrated=_calibration(evaluation, answers.logits / answers.temperature),
        uncalibrated=_calibration(answers.uncalibrated, answers.logits),
        intervals=_intervals(evaluation),
        classes=_classes(evaluation, labels, average_precisions, aucs),
        confusion=_confusion(evaluation),
    )


def curve_of(scores: Tensor, positive: Tensor) -> tuple[Point, ...]:
    """(recall, precision) at the highest threshold of every recall, rising: what average precision adds up.

    scores: float32 [n]. positive: bool [n], at least one.
    """
    precision, recall, _ = binary_precision_recall_curve(scores, positive.long())
    # torchmetrics lists falling recall and, of equal ones, the highest threshold last; the end is (0, 1), no threshold.
    precision, recall = precision[:-1].flip(0), recall[:-1].flip(0)
    rises = torch.diff(recall, prepend=torch.zeros(1)) > 0
    points = [(share(r), share(p)) for r, p in zip(recall[rises].tolist(), precision[rises].tolist(), strict=True)]
    kept = np.linspace(0, len(points) - 1, min(len(points), CURVE_POINTS)).round().astype(int)
    return tuple(points[index] for index in kept)


def _averages(evaluation: Evaluation, name: Measure) -> Averages:
    return Averages(
        macro=evaluation.mean(name, "macro"),
        micro=evaluation.mean(name, "micro"),
        weighted=evaluation.mean(name, "weighted"),
    )


def _calibration(evaluation: Evaluation, logits: Tensor) -> Calibration:
    found = reliability(evaluation.confidence.numpy(), evaluation.correct.numpy())
    bins = tuple(
        Bin(
            low=share(EDGES[index]),
            high=share(EDGES[index + 1]),
            pictures=int(count),
            confidence=share(found.confidence[index] / count),
            accuracy=share(found.correct[index] / count),
        )
        for index, count in enumerate(found.pictures)
        if count
    )
    loss = float(nn.functional.cross_entropy(logits.double(), evaluation.labels))
    return Calibration(ece=evaluation.ece(), loss=round(loss, 6), bins=bins)


def _intervals(evaluation: Evaluation) -> Intervals:
    drawn = bootstrap(evaluation, SEED)
    chance = errors_by_chance(evaluation, SEED)
    return Intervals(
        draws=number_of_draws(evaluation),
        seed=SEED,
        top1=_shares(of_share(drawn["top1"], evaluation.top1(), len(evaluation.labels))),
        macro_f1=_shares(percentiles(drawn["macro_f1"])),
        mean_average_precision=_shares(percentiles(drawn["mean_average_precision"])),
        ece=_shares(of_error(drawn["ece"], evaluation.ece(), chance)),
    )


def _shares(interval: Interval) -> Interval:
    return share(interval[0]), share(interval[1])


def _classes(
    evaluation: Evaluation,
    labels: Sequence[str],
    average_precisions: Sequence[float | None],
    aucs: Sequence[float | None],
) -> tuple[ClassFigures, ...]:
    precision, recall, f1 = (evaluation.by_class(name) for name in ("precision", "recall", "f1"))
    pictures, answered = evaluation.pictures_by_class.tolist(), evaluation.answers_by_class.tolist()
    return tuple(
        ClassFigures(
            label=label,
            pictures=pictures[index],
            answers=answered[index],
            precision=precision[index],
            recall=recall[index],
            f1=f1[index],
            average_precision=average_precisions[index],
            roc_auc=aucs[index],
            curve=curve_of(evaluation.probabilities[:, index], evaluation.labels == index) if pictures[index] else (),
        )
        for index, label in enumerate(labels)
    )


def _confusion(evaluation: Evaluation) -> tuple[tuple[int, int, int], ...]:
    """Only pairs that occur: 1,000 classes have a million pairs."""
    pairs, counts = torch.unique(torch.stack((evaluation.labels, evaluation.answers)), dim=1, return_counts=True)
    truth, answer = pairs.tolist()
    return tuple(zip(truth, answer, counts.tolist(), strict=True))

"""95 % intervals: the pictures drawn again with replacement, the metrics measured on each draw.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993. A draw is a count per picture; every metric is
computed from counts, so that nothing is sorted or copied per draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluate import Evaluation
from models.reliability import BINS, bin_of

DRAWS, FEWEST_DRAWS = 1000, 100
WORK = 1e9
"""So many draws x pictures x classes at most, seconds of one core; 50,000 pictures in 1,000 classes get 100 draws."""

LOW, HIGH = 0.025, 0.975
_CHUNK = 4_000_000
"""Counts in memory at a time."""

Draws = NDArray[np.float32]
"""float32 [n, R]: how often draw r has picture i."""

Values = NDArray[np.float64]
"""float64 [R]."""

Interval = tuple[float, float]


def number_of_draws(evaluation: Evaluation) -> int:
    present = int((evaluation.pictures_by_class > 0).sum())
    return int(min(DRAWS, max(FEWEST_DRAWS, WORK // (present * len(evaluation.labels)))))


def bootstrap(evaluation: Evaluation, seed: int) -> dict[str, Values]:
    """The metrics on every draw: top1, macro_f1, mean_average_precision, ece."""
    parts: dict[str, list[Values]] = {}
    for draws in _draws(len(evaluation.labels), number_of_draws(evaluation), seed):
        for name, measure in _MEASURES.items():
            parts.setdefault(name, []).append(measure(evaluation, draws))
    return {name: np.concatenate(values) for name, values in parts.items()}


def percentiles(values: Values) -> Interval:
    """What the middle 95 % of the draws lie between."""
    low, high = np.quantile(values, (LOW, HIGH))
    return float(low), float(high)


def of_error(values: Values, estimate: float, by_chance: Values) -> Interval:
    """The interval of a calibration error, which chance only ever adds to.

    A draw has the chance of the pictures and its own on top, so that the percentiles lie too high: the "basic"
    interval mirrors them at the estimate. Where perfect calibration would give as much by chance (`by_chance`,
    the consistency resampling of Bröcker and Smith 2007), the lower limit is 0. The estimate stays inside.
    """
    low, high = percentiles(values)
    explained = estimate <= np.quantile(by_chance, HIGH)
    lowest = 0.0 if explained else max(0.0, min(estimate, 2 * estimate - high))
    return lowest, min(1.0, max(estimate, 2 * estimate - low))


def of_share(values: Values, estimate: float, n: int) -> Interval:
    """Percentiles of a share of n. All right or all wrong, every draw is the same: then Clopper and Pearson's limit."""
    edge = LOW ** (1 / n)
    if estimate in (0, 1):
        return (edge, 1.0) if estimate else (0.0, 1 - edge)
    return percentiles(values)


def _draws(n: int, draws: int, seed: int) -> Iterator[Draws]:
    generator = np.random.default_rng(seed)
    size = max(1, _CHUNK // n)
    for start in range(0, draws, size):
        width = min(size, draws - start)
        counts = generator.multinomial(n, np.full(n, 1 / n), size=width)
        yield np.ascontiguousarray(counts.T, dtype=np.float32)


def errors_by_chance(evaluation: Evaluation, seed: int) -> Values:
    """Calibration errors of answers that are right exactly as often as they are sure."""
    generator = np.random.default_rng(seed)
    confidence = evaluation.confidence.numpy()
    groups = bin_of(confidence)
    errors = []
    for _ in range(number_of_draws(evaluation)):
        gaps = (generator.random(len(confidence)) < confidence) - confidence
        errors.append(np.abs(np.bincount(groups, weights=gaps)).sum() / len(confidence))
    return np.array(errors)


def _top1(evaluation: Evaluation, draws: Draws) -> Values:
    correct: Values = evaluation.correct.numpy().astype(np.float64) @ draws / len(draws)
    return correct


def _macro_f1(evaluation: Evaluation, draws: Draws) -> Values:
    labels, answers = evaluation.labels.numpy(), evaluation.answers.numpy()
    right = np.where(evaluation.correct.numpy(), labels, evaluation.classes)
    hits = _by_group(right, evaluation.classes + 1, draws)[:-1]
    either = _by_group(labels, evaluation.classes, draws) + _by_group(answers, evaluation.classes, draws)
    occurs = either > 0
    scores = np.divide(2 * hits, either, out=np.zeros_like(hits), where=occurs)
    return _float(scores.sum(axis=0) / occurs.sum(axis=0))


def _ece(evaluation: Evaluation, draws: Draws) -> Values:
    confidence, correct = evaluation.confidence.numpy(), evaluation.correct.numpy()
    gaps = _by_group(bin_of(confidence), BINS, draws * (correct - confidence)[:, None])
    return _float(np.abs(gaps).sum(axis=0) / len(draws))


def _mean_average_precision(evaluation: Evaluation, draws: Draws) -> Values:
    labels = evaluation.labels.numpy()
    total, classes = np.zeros(draws.shape[1]), np.zeros(draws.shape[1])
    for index in np.unique(labels):
        precision, drawn = _average_precision(evaluation.probabilities[:, index].numpy(), labels == index, draws)
        total += np.where(drawn, precision, 0)
        classes += drawn
    return total / classes


def _average_precision(
    scores: NDArray[np.float32], positive: NDArray[np.bool_], draws: Draws
) -> tuple[Values, NDArray[np.bool_]]:
    """Of every draw, and whether it has a picture of the class at all. Equal scores are one threshold."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    places = np.flatnonzero(positive[order])
    last = ends[np.searchsorted(ends, places)]
    # Only what is ranked above a picture of the class counts: one sum between each two of them, not one per picture.
    cuts = np.unique(last)
    sums = np.add.reduceat(draws[order[: cuts[-1] + 1]], np.append(0, cuts[:-1] + 1), axis=0)
    everything = np.cumsum(sums, axis=0)[np.searchsorted(cuts, last)]
    own = draws[order[places]]
    hits = np.cumsum(own, axis=0)
    below = hits[np.searchsorted(places, last, side="right") - 1]
    precision = np.divide(below, everything, out=np.zeros_like(below), where=everything > 0)
    count = hits[-1]
    return _float((own * precision).sum(axis=0) / np.maximum(count, 1)), count > 0


def _by_group(groups: NDArray[np.int64], size: int, values: NDArray[Any]) -> NDArray[np.float32]:
    """Rows of `values` [n, R] added up by group → [size, R]."""
    order = np.argsort(groups, kind="stable")
    present, starts = np.unique(groups[order], return_index=True)
    result = np.zeros((size, values.shape[1]), dtype=np.float32)
    result[present] = np.add.reduceat(values[order], starts, axis=0)
    return result


def _float(values: NDArray[Any]) -> Values:
    return values.astype(np.float64)


_MEASURES = {
    "top1": _top1,
    "macro_f1": _macro_f1,
    "mean_average_precision": _mean_average_precision,
    "ece": _ece,
}

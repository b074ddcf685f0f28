"""The charts of an evaluation: learning curves, precision against recall, accuracy against confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.charts import Bar, Chart, Line, across, polyline, round_ticks, staircase, unit, up
from models.figures import Calibration, ClassFigures, Figures
from models.history import History, best_epoch

NAMED_CURVES, FAINT_CURVES = 5, 30
"""Curves with a colour and a name: the worst classes; behind them, in grey, so many others."""

GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Legend:
    """A chart and what its colours mean: (css class, text)."""

    chart: Chart
    key: tuple[tuple[str, str], ...]


def learning_curves(history: History) -> list[Legend]:
    """Loss and accuracy over the epochs, the best epoch marked; without a history none."""
    drawn = [
        _curves(history, "Loss", {"train_loss": "training loss", "val_loss": "validation loss"}),
        _curves(history, "Accuracy", {"val_accuracy": "validation accuracy"}),
    ]
    return [legend for legend in drawn if legend]


def _curves(history: History, label: str, names: dict[str, str]) -> Legend | None:
    series = {text: [(row["epoch"] + 1, row[name]) for row in history if name in row] for name, text in names.items()}
    series = {text: points for text, points in series.items() if points}
    if not series:
        return None
    values = [value for points in series.values() for _, value in points]
    ticks = round_ticks(min(values), max(values))
    epochs = [row["epoch"] + 1 for row in history]
    whole = sorted({round(tick) for tick in round_ticks(epochs[0], epochs[-1]) if epochs[0] <= tick <= epochs[-1]})
    x = across("epoch", epochs[0], epochs[-1], whole)
    y = up("", ticks[0], ticks[-1], ticks)
    best = best_epoch(history) + 1
    return Legend(
        Chart(
            f"{label} over {len(history)} epochs",
            x,
            y,
            tuple(
                Line(polyline(points, x, y), f"s{index}", f"{text}: {points[-1][1]:.4g} at the end")
                for index, (text, points) in enumerate(series.items())
            ),
            marks=((f"best: {best}", x.at(best)),),
        ),
        tuple((f"s{index}", text) for index, text in enumerate(series)),
    )


def precision_recall(figures: Figures) -> Legend:
    """The mean over the classes, the worst classes, and some of the others behind them."""
    x, y = unit("across", "recall"), unit("up", "precision")
    known = [item for item in figures.classes if item.average_precision is not None]
    ranked = sorted(known, key=lambda item: item.average_precision or 0)
    named, others = ranked[:NAMED_CURVES], ranked[NAMED_CURVES : NAMED_CURVES + FAINT_CURVES]
    lines = [Line(staircase(item.curve, x, y), "faint", _area(item)) for item in others]
    lines += [Line(staircase(item.curve, x, y), f"s{index + 1}", _area(item)) for index, item in enumerate(named)]
    mean = f"mean over {len(known)} classes {figures.mean_average_precision:.4f}"
    lines.append(Line(polyline(mean_curve(known), x, y), "s0 mean", mean))
    key = [("s0", mean), *((f"s{index + 1}", _area(item)) for index, item in enumerate(named))]
    if others:
        key.append(("faint", f"the next {len(others)}"))
    return Legend(Chart("Precision over recall", x, y, tuple(lines)), tuple(key))


def mean_curve(classes: list[ClassFigures]) -> list[tuple[float, float]]:
    """(recall, mean precision) at 101 recalls; each class's precision is that of its own step there."""
    total = np.zeros(len(GRID))
    for item in classes:
        recalls, precisions = np.array(item.curve).T
        total += precisions[np.minimum(np.searchsorted(recalls, GRID - 1e-6), len(recalls) - 1)]
    return list(zip(GRID.tolist(), (total / max(1, len(classes))).tolist(), strict=True))


def _area(item: ClassFigures) -> str:
    return f"{item.label} {item.average_precision:.4f}"


def reliability_diagram(calibration: Calibration, label: str) -> Chart:
    """A bar per bin: its height the accuracy; the frame above or below it the gap to the confidence."""
    x, y = unit("across", "confidence"), unit("up", "accuracy")
    most = max(item.pictures for item in calibration.bins)
    bars = []
    for item in calibration.bins:
        left, right = x.at(item.low) + 1, x.at(item.high) - 1
        note = (
            f"{item.pictures} pictures of confidence {item.low:.2f} to {item.high:.2f}: "
            f"{item.accuracy:.1%} right, {item.confidence:.1%} expected"
        )
        width, base = round(right - left, 1), y.at(0)
        # The share of the pictures makes the bar's colour deeper: a lone picture is no evidence.
        css = f"b{1 + round(3 * (item.pictures / most) ** 0.5)}"
        bars.append(Bar(left, y.at(item.accuracy), width, round(base - y.at(item.accuracy), 1), css, note))
        top, low = sorted((y.at(item.accuracy), y.at(item.confidence)))
        bars.append(Bar(left, top, width, round(low - top, 1), "gap", note))
    diagonal = Line(polyline([(0, 0), (1, 1)], x, y), "ideal", "as often right as sure")
    return Chart(label, x, y, (diagonal,), tuple(bars))

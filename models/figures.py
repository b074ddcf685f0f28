"""The record of `metrics.json`: everything that an evaluation measured; the report draws it and measures nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from bundle.manifest import Count, Metrics, Record, Sha256, Share

FILE: Final = "metrics.json"

Point = tuple[Share, Share]
Interval = tuple[Share, Share]


class Averages(Record):
    """One measure averaged over the classes (`macro`), the pictures (`micro`), the classes by size (`weighted`)."""

    macro: Share
    micro: Share
    weighted: Share


class ClassFigures(Record):
    """One class against the rest. `pictures`: of the class. `answers`: how often it was answered.

    None where a figure is 0/0. `curve`: (recall, precision) at every threshold that finds one more picture of the
    class, at most 100 of them evenly spaced.
    """

    label: str
    pictures: Count
    answers: Count
    precision: Share | None
    recall: Share | None
    f1: Share | None
    average_precision: Share | None
    roc_auc: Share | None
    curve: tuple[Point, ...]


class Bin(Record):
    """Pictures whose confidence lies in (low, high]; `confidence` and `accuracy` are their means."""

    low: Share
    high: Share
    pictures: Annotated[int, Field(ge=1)]
    confidence: Share
    accuracy: Share


class Calibration(Record):
    """`ece`: expected calibration error in 15 bins, of which those with pictures are listed. `loss`: cross entropy."""

    ece: Share
    loss: Annotated[float, Field(ge=0)]
    bins: tuple[Bin, ...]


class Intervals(Record):
    """95 % intervals by bootstrap: `draws` samples of the pictures with replacement. `ece` is the calibrated one."""

    draws: Annotated[int, Field(ge=1)]
    seed: int
    top1: Interval
    macro_f1: Interval
    mean_average_precision: Interval
    ece: Interval


class Figures(Record):
    """The fp32 model on labelled pictures.

    `temperature`: the logits were divided by it; `uncalibrated` is with 1 in its place. `confusion`: (true class,
    answered class, pictures), only pairs that occur. `mean_average_precision` and `roc_auc` are means over the
    classes for which they exist; `roc_auc` is None when there is none.
    """

    schema_version: Literal[1] = 1
    dataset_fingerprint: Sha256
    split: str
    n: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(gt=0)]
    top1: Share
    top5: Share
    precision: Averages
    recall: Averages
    f1: Averages
    mean_average_precision: Share
    roc_auc: Share | None
    calibrated: Calibration
    uncalibrated: Calibration
    intervals: Intervals
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[Count, Count, Count], ...]

    @property
    def metrics(self) -> Metrics:
        """The manifest's part."""
        return Metrics(
            dataset_fingerprint=self.dataset_fingerprint,
            split=self.split,
            n=self.n,
            top1=self.top1,
            top5=self.top5,
            macro_f1=self.f1.macro,
            ece=self.calibrated.ece,
            per_class_recall=tuple(figures.recall for figures in self.classes),
        )


def to_json(figures: Figures) -> str:
    """A line per figure, per class and per pair: readable, and a tenth of what a line per number would take."""
    lines = ",\n".join(f"{json.dumps(key)}: {_lines(value)}" for key, value in figures.model_dump(mode="json").items())
    return f"{{\n{lines}\n}}\n"


def read_figures(path: Path) -> Figures:
    """What `to_json` wrote."""
    return Figures.model_validate_json(path.read_text(encoding="utf-8"))


def _lines(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in value) + "\n]"
    return json.dumps(value, ensure_ascii=False)

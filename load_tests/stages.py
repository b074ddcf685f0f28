"""What the service says of itself: seconds by stage and counters, from the text of `/metrics`."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

STAGES = ("queue", "decode", "preprocess", "infer", "explain")
_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass
class Stage:
    """A histogram of the service's: how many, seconds of all, and how many up to each bound."""

    count: float = 0.0
    seconds: float = 0.0
    buckets: dict[float, float] = field(default_factory=lambda: defaultdict(float))

    def since(self, earlier: Stage) -> Stage:
        """What was added in between."""
        buckets = {bound: count - earlier.buckets.get(bound, 0.0) for bound, count in self.buckets.items()}
        return Stage(self.count - earlier.count, self.seconds - earlier.seconds, buckets)

    def quantile(self, share: float) -> float | None:
        """Seconds, linear within a bucket as Prometheus does it; None of nothing or beyond the last bound."""
        wanted, low, below = share * self.count, 0.0, 0.0
        for bound, count in sorted(self.buckets.items()):
            if count >= wanted and count > below:
                return None if bound == float("inf") else low + (bound - low) * (wanted - below) / (count - below)
            low, below = bound, count
        return None


@dataclass
class Scrape:
    """One reading. memory: resident bytes, None where the service does not tell. shed: refused, by reason."""

    stages: dict[str, Stage]
    shed: dict[str, float]
    memory: float | None = None

    def since(self, earlier: Scrape) -> Scrape:
        """What was added in between; the memory is the later one's."""
        stages = {name: stage.since(earlier.stages.get(name, Stage())) for name, stage in self.stages.items()}
        shed = {reason: count - earlier.shed.get(reason, 0.0) for reason, count in self.shed.items()}
        return Scrape(stages, shed, self.memory)


def read(text: str) -> Scrape:
    """Over all models; what is no number or of another name is passed over."""
    stages: dict[str, Stage] = defaultdict(Stage)
    shed: dict[str, float] = defaultdict(float)
    memory = None
    for name, labels_text, value_text in _LINE.findall(text):
        try:
            value = float(value_text)
        except ValueError:
            continue
        labels = dict(_LABEL.findall(labels_text))
        if name == "process_resident_memory_bytes":
            memory = value
        elif name == "convoy_shed_total":
            shed[labels.get("reason", "")] += value
        elif name.startswith("convoy_stage_seconds_"):
            _add(stages[labels.get("stage", "")], name.rpartition("_")[2], labels, value)
    return Scrape(dict(stages), dict(shed), memory)


def _add(stage: Stage, part: str, labels: dict[str, str], value: float) -> None:
    if part == "count":
        stage.count += value
    elif part == "sum":
        stage.seconds += value
    elif part == "bucket":
        stage.buckets[float(labels["le"])] += value

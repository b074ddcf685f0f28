"""One stretch of constant load, and what came of it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from load_tests.histogram import Histogram
from load_tests.objective import share_of

OK, NOT_SENT, REFUSED = "ok", "not sent", "refused 429"
WRONG = "wrong answer"
UNREACHED, CUT, LATE = "no connection", "connection cut", "no answer in time"
OVERLOADED = (REFUSED, NOT_SENT, LATE)
"""What a sound service that is asked too much may do to a request."""

Mode = Literal["open", "closed"]
Arrivals = Literal["poisson", "constant"]


@dataclass(frozen=True)
class Phase:
    """What to do.

    load: arrivals per second (open) or clients that wait for their answer (closed). warmup: seconds at the start
    that are shown and not counted. width: seconds of a point over time; the last one of the warm-up, of what counts
    and of what comes after may be shorter, so that none belongs to two of them. outstanding: requests that may be
    open at the same time; what is due beyond is an error and is not sent. timeout: seconds until an answer is given up.
    after: seconds of `after_load` that follow without a pause, to see a service recover.
    """

    name: str
    mode: Mode
    load: float
    seconds: float
    warmup: float = 0.0
    arrivals: Arrivals = "poisson"
    seed: int = 0
    outstanding: int = 1000
    timeout: float = 30.0
    width: float = 1.0
    after: float = 0.0
    after_load: float = 0.0

    @property
    def length(self) -> float:
        """Seconds until nothing new is sent."""
        return self.seconds + self.after

    @property
    def after_seed(self) -> int:
        """Of what comes after: another phase with this seed and load sends the same requests at the same times."""
        return self.seed + 1

    def until(self, second: float) -> Phase | None:
        """As many whole points as were over at that second; None when nothing was that counts."""
        if second >= self.seconds:
            return replace(self, after=min(self.after, self.width * int((second - self.seconds) / self.width)))
        counted = self.width * int((second - self.warmup) / self.width)
        return replace(self, seconds=self.warmup + counted, after=0.0) if counted > 0 else None

    def point(self, second: float) -> int:
        """The number of the point of time that a second of the phase, or after it, lies in."""
        number = 0
        for begin, end in self._parts():
            if second < end:
                return number + min(int((second - begin) / self.width), self._points(begin, end) - 1)
            number += self._points(begin, end)
        return number + int((second - self.length) / self.width)

    def start(self, point: int) -> float:
        """The second with which a point begins."""
        for begin, end in self._parts():
            if point < (count := self._points(begin, end)):
                return begin + point * self.width
            point -= count
        return self.length + point * self.width

    def _parts(self) -> tuple[tuple[float, float], ...]:
        return (0.0, self.warmup), (self.warmup, self.seconds), (self.seconds, self.length)

    def _points(self, begin: float, end: float) -> int:
        return math.ceil((end - begin) / self.width - 1e-9)

    def message(self) -> dict[str, Any]:
        """For the processes that send."""
        return asdict(self)


@dataclass
class Cell:
    """What was due in one point of time, of one kind of request."""

    outcomes: Counter[str] = field(default_factory=Counter)
    good: Histogram = field(default_factory=Histogram)
    """Right answers, from the intended start."""
    service: Histogram = field(default_factory=Histogram)
    """The same answers from the moment they were sent: what a generator sees that forgets its own queue."""
    refused: Histogram = field(default_factory=Histogram)
    """Refusals (429), from the moment they were sent."""
    lag: Histogram = field(default_factory=Histogram)
    """How late the requests were sent: the generator's own fault."""

    def merge(self, other: Cell) -> None:
        self.outcomes.update(other.outcomes)
        for name in ("good", "service", "refused", "lag"):
            getattr(self, name).merge(getattr(other, name))

    def packed(self) -> list[Any]:
        """For a message between processes."""
        histograms = (self.good, self.service, self.refused, self.lag)
        return [dict(self.outcomes), *(histogram.packed() for histogram in histograms)]

    @classmethod
    def unpacked(cls, parts: list[Any]) -> Cell:
        """The counterpart of `packed`."""
        return cls(Counter(parts[0]), *(Histogram.unpacked(part) for part in parts[1:]))

    @property
    def due(self) -> int:
        return self.outcomes.total()

    @property
    def error_share(self) -> float:
        """Of all that was due; 1 when nothing was, for a step without a request proves nothing."""
        return 1 - self.outcomes[OK] / self.due if self.due else 1.0

    def latency(self, name: str) -> float | None:
        """Seconds from the intended start, of right answers."""
        if name == "mean":
            return self.good.mean
        if name == "max":
            return self.good.longest if self.good.count else None
        return self.good.quantile(share_of(name))


@dataclass
class Recording:
    """Cells by (point of time, kind of request); `finished`: right answers by the point in which they came."""

    cells: dict[tuple[int, str], Cell] = field(default_factory=dict)
    finished: Counter[int] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Of each kind of error, the first few messages."""
    sent: set[int] = field(default_factory=set)
    """Numbers of the cases that were sent at least once."""

    def cell(self, point: int, kind: str) -> Cell:
        """The cell, made on first use."""
        return self.cells.setdefault((point, kind), Cell())

    def example(self, outcome: str, text: str) -> None:
        """Keep the first few, each on one line."""
        kept, line = self.examples.setdefault(outcome, []), " ".join(text.split())
        if line and len(kept) < 3 and line not in kept:
            kept.append(line)

    def merge(self, other: Recording) -> None:
        """Add what another process, or another second, recorded."""
        for (point, kind), cell in other.cells.items():
            self.cell(point, kind).merge(cell)
        self.finished.update(other.finished)
        self.sent |= other.sent
        for outcome, texts in other.examples.items():
            for text in texts:
                self.example(outcome, text)

    def packed(self) -> dict[str, Any]:
        """For a message between processes."""
        cells = [[point, kind, cell.packed()] for (point, kind), cell in self.cells.items()]
        finished = [list(self.finished), list(self.finished.values())]
        return {"cells": cells, "finished": finished, "examples": self.examples, "sent": list(self.sent)}

    @classmethod
    def unpacked(cls, parts: dict[str, Any]) -> Recording:
        """The counterpart of `packed`."""
        cells = {(point, kind): Cell.unpacked(cell) for point, kind, cell in parts["cells"]}
        finished = Counter(dict(zip(*parts["finished"], strict=True)))
        return cls(cells, finished, parts["examples"], set(parts["sent"]))

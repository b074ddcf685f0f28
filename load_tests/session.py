"""A load test from its first phase to its verdict."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from load_tests.errors import Stopped
from load_tests.figures import Measured, error_kinds, errors, figures, generator, judged, milliseconds, normal_again
from load_tests.hostile import KIND
from load_tests.knee import Knee, find_knee
from load_tests.memory import Growth, growth, list_files, resident
from load_tests.options import Options
from load_tests.outcome import Case
from load_tests.phase import OVERLOADED, Phase
from load_tests.stages import Scrape, read
from load_tests.target import Target

BELOW, ABOVE = 0.8, 2.0
"""Of the knee: where one would run it, and far more than it can take."""
RECOVERY_SECONDS = 2.0, 10.0
"""At least and at most; in between as long as a step."""
FINE = 0.25
HANGING_SECONDS = 3.0
"""Processes report once a second, and what was just sent has no answer yet: more is told."""
SHOWN_POINTS = 600
"""Of one phase over time."""


class Sender(Protocol):
    """What runs a phase: `load_tests.fleet.Fleet`."""

    def run(self, phase: Phase, meanwhile: Callable[[], None]) -> Any:
        """Returns what has `recording`, `cpu` and `wall`."""


@dataclass
class Overload:
    """The phases around the knee."""

    below: Measured
    above: Measured


@dataclass
class Session:
    """Runs phases and keeps what they gave. say: takes one line of progress. cases: what is sent."""

    options: Options
    target: Target
    sender: Sender
    say: Callable[[str], None] = lambda _: None
    cases: Sequence[Case] = ()
    phases: list[Measured] = field(default_factory=list)
    knee: Knee | None = None
    overload: Overload | None = None
    began: float = field(default_factory=time.perf_counter)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    left: list[str] | None = None
    """Files that the service left in its temporary folder; None as long as nobody has looked."""
    lost: bool = False
    """Whether the watched process ended."""
    stopped: bool = False
    """Whether Ctrl-C or SIGTERM came before the end."""
    hanging: tuple[int, float] | None = None
    """How many requests had no answer then, and for how many seconds the first of them."""

    def run(self) -> None:
        """Everything that was asked for, or what was done of it until Ctrl-C or SIGTERM.

        Raises: KeyboardInterrupt, when that was nothing.
        """
        try:
            self._run()
        except KeyboardInterrupt:
            self.stopped = True
            if not self.phases:
                raise

    def _run(self) -> None:
        options = self.options
        before = list_files(options.temp) if options.temp else set()
        if options.loads is not None:
            self._climb(options.loads)
        else:
            self._measure(self._phase("soak" if options.soak else "load", options.load))
        if options.knee_check and self.knee and self.knee.good:
            self._overload(self.knee.good)
        if options.temp:
            self.left = sorted(list_files(options.temp) - before)

    def _phase(self, name: str, load: float, **changes: Any) -> Phase:
        options = self.options
        width = max(FINE if options.duration <= 20 else 1.0, options.duration / SHOWN_POINTS)
        phase = Phase(
            name,
            options.mode,
            load,
            options.duration,
            options.warmup,
            options.arrivals,
            options.seed + len(self.phases) * 7,
            options.outstanding,
            options.timeout,
            width,
        )
        return replace(phase, **changes)

    def _climb(self, loads: tuple[float, ...]) -> None:
        def meets(load: float) -> bool:
            return any(self._meets(load, turn) for turn in range(self.options.tries))

        closed = self.options.mode == "closed"
        self.knee = find_knee(meets, loads, refine=self.options.refine, whole=closed, grow=self.options.grow)

    def _meets(self, load: float, turn: int) -> bool:
        name = f"step {load:g}" + (f", try {turn + 1}" if turn else "")
        return not self._measure(self._phase(name, load)).misses

    def _overload(self, knee: float) -> None:
        below, above = knee * BELOW, knee * ABOVE
        if self.options.mode == "closed":
            below = max(1.0, round(below))
        after = min(max(RECOVERY_SECONDS[0], self.options.duration), RECOVERY_SECONDS[1])
        over = self._phase(f"{100 * ABOVE:g} % of the knee", above, width=FINE, after=after, after_load=below)
        # In the open loop the requests that will follow the overload, without one before them.
        below_for = max(self.options.duration, after)
        under = self._phase(
            f"{100 * BELOW:g} % of the knee", below, width=FINE, seed=over.after_seed, seconds=below_for
        )
        self.overload = Overload(self._measure(under), self._measure(over))

    def _measure(self, phase: Phase) -> Measured:
        before, offset, cpu = self._scrape(), time.perf_counter() - self.began, time.process_time()
        memory: list[tuple[float, float]] = []

        def keep(over: Phase, finished: Any) -> Measured:
            leader = time.process_time() - cpu
            measured = Measured(over, finished.recording, offset, finished.wall, finished.cpu, leader, None, memory)
            self.phases.append(judged(measured, self.options.objective))
            self.say(line(measured))
            return measured

        try:
            measured = keep(phase, self.sender.run(phase, lambda: self._watch(memory, offset)))
        except Stopped as stopped:
            finished = stopped.finished
            if finished.unanswered and finished.wall - finished.until > HANGING_SECONDS:
                self.hanging = finished.unanswered, finished.wall - finished.until
            if (over := phase.until(finished.until)) is not None:
                keep(over, finished)
            raise
        after = self._scrape()
        measured.counted = after.since(before) if before and after else None
        return measured

    def _scrape(self) -> Scrape | None:
        text = self.target.metrics()
        return None if text is None else read(text)

    def _watch(self, memory: list[tuple[float, float]], offset: float) -> None:
        if not self.options.soak:
            return
        if self.options.pid:
            value = resident(self.options.pid)
            self.lost = self.lost or value is None
        else:
            scrape = self._scrape()
            value = scrape.memory if scrape else None
        if value is not None:
            memory.append((time.perf_counter() - self.began - offset, value))

    @property
    def growth(self) -> Growth | None:
        """Of a soak; None where the service's memory is not known."""
        return growth(self.phases[-1].memory) if self.options.soak and self.phases else None

    def faults(self) -> list[str]:
        """Why the run failed; empty when the objective was met."""
        options = self.options
        found = ["stopped before its end"] if self.stopped else []
        if self.hanging:
            found.append(f"{self.hanging[0]} requests had no answer yet, the first for {self.hanging[1]:.0f} s")
        if options.loads is None:
            found += self.phases[-1].misses
        elif not self.stopped:
            found += self._knee_faults()
        if self.growth and not self.growth.steady:
            found.append(
                f"the service's memory grew by {self.growth.share:.1%} after its first {self.growth.since:.0f} s"
            )
        if self.lost:
            found.append(f"the service's memory could not be followed: process {options.pid} ended")
        elif options.soak and options.pid and not self.growth:
            found.append("the soak was too short to judge the service's memory")
        if self.left:
            found.append(f"{len(self.left)} files stayed in {options.temp}")
        return found

    def _knee_faults(self) -> list[str]:
        found = [] if self.knee and self.knee.good else ["no step met the objective"]
        if self.overload and self.overload.below.misses:
            found.append(f"at {100 * BELOW:g} % of the knee: {', '.join(self.overload.below.misses)}")
        # Beyond the knee a service may refuse and be late; it may not answer wrongly, hang up or be gone.
        told = error_kinds(self.phases)
        return found + [f"{one['kind']}: {one['count']}" for one in told if one["kind"] not in OVERLOADED]

    def summary(self) -> dict[str, Any]:
        """Everything as numbers, for summary.json."""
        options, faults = self.options, self.faults()
        return {
            "url": self.target.url,
            "scenario": options.scenario,
            "mode": options.mode,
            "arrivals": options.arrivals if options.mode == "open" else None,
            "objective": str(options.objective),
            "started": self.started.isoformat(timespec="seconds"),
            "machine": {"cores": generator([])["cores"], "platform": platform.platform(), "local": self.target.local},
            "met": not faults,
            "stopped": self.stopped,
            "faults": faults,
            "knee": None if self.knee is None else {"load": self.knee.good, "first_bad": self.knee.bad},
            "overload": self.overload_figures(),
            "soak": self.soak_figures(),
            "generator": {
                **generator(self.phases),
                "processes": options.workers or options.processes,
                "cpus": list(options.cpus),
                "remote": bool(options.workers),
            },
            "phases": [figures(measured) for measured in self.phases],
            "errors": error_kinds(self.phases),
            "never_sent": self.never_sent(),
        }

    def never_sent(self) -> list[str] | None:
        """The names of hostile requests that no phase has sent; None where there are none."""
        sent = set().union(*(measured.recording.sent for measured in self.phases))
        hostile = [(number, case.name) for number, case in enumerate(self.cases) if case.kind == KIND]
        return [name for number, name in hostile if number not in sent] if hostile else None

    def overload_figures(self) -> dict[str, Any] | None:
        """At 80 % of the knee, at twice the knee, and after it."""
        if self.overload is None or self.knee is None:
            return None
        below, above = self.overload.below, self.overload.above
        at_knee = next(one for one in reversed(self.phases[:-2]) if one.phase.load == self.knee.good)
        cell, usual = above.counted_cell(), below.counted_cell()
        rate, knee_rate = above.good_rate(*above.window()), at_knee.good_rate(*at_knee.window())
        refused = milliseconds(cell.refused)
        return {
            "at_80_percent": {"load": below.phase.load, "latency_ms": milliseconds(usual.good)},
            "at_200_percent": {
                "load": above.phase.load,
                "met": not above.misses,
                "good_per_second": rate,
                "share_of_knee": rate / knee_rate if knee_rate else None,
                "accepted_p99_ms": milliseconds(cell.good)["p99"],
                "refused": cell.refused.count,
                "refused_p50_ms": refused["p50"],
                "refused_p99_ms": refused["p99"],
                "errors": errors(cell.outcomes),
            },
            "watched_after_s": above.phase.after,
            "normal_again_after_s": normal_again(above, below),
        }

    def soak_figures(self) -> dict[str, Any] | None:
        """Memory and files of a long run."""
        if not self.options.soak:
            return None
        found = self.growth
        memory = (
            None
            if found is None
            else {"settled": found.settled, "last": found.last, "most": found.most, "growth": found.share}
        )
        return {"memory_bytes": memory, "files_left": self.left}


def line(measured: Measured) -> str:
    """One line of progress."""
    cell, phase = measured.counted_cell(), measured.phase
    p95, unit = cell.latency("p95"), "/s" if phase.mode == "open" else " clients"
    latency = "no right answer" if p95 is None else f"p95 {1000 * p95:.1f} ms"
    verdict = "met" if not measured.misses else "missed: " + "; ".join(measured.misses)
    rate = measured.good_rate(*measured.window())
    return f"{phase.name}: {phase.load:g}{unit}, {rate:.1f} right answers/s, {latency}, {verdict}"

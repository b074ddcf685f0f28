"""Phases that were made up, so that each figure of them is known beforehand."""

from __future__ import annotations

from load_tests.figures import Measured
from load_tests.phase import OK, REFUSED, Phase, Recording
from load_tests.stages import Scrape


def measured(phase: Phase, counted: Scrape | None = None) -> Measured:
    return Measured(phase, Recording(), offset=0, wall=phase.length, cpu=0.5, leader=0.1, counted=counted)


def answer(run: Measured, due: float, seconds: float, outcome: str = OK, kind: str = "a") -> None:
    """Put one request into the recording."""
    cell = run.recording.cell(run.phase.point(due), kind)
    cell.outcomes[outcome] += 1
    if outcome == OK:
        cell.good.add(seconds)
        cell.service.add(seconds)
        run.recording.finished[run.phase.point(due + seconds)] += 1
    elif outcome == REFUSED:
        cell.refused.add(seconds)

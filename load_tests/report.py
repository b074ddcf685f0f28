"""`report.html` (one file, no script, no address of anything outside) and `summary.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from load_tests.charts import Chart
from load_tests.drawn import (
    distribution,
    latency_over_load,
    latency_over_time,
    memory,
    server_stages,
    steps_of,
    throughput_over_load,
    throughput_over_time,
)
from load_tests.figures import Measured
from load_tests.session import Session
from load_tests.stages import STAGES
from load_tests.table import cost, findings

REPORT, SUMMARY = "report.html", "summary.json"


def write(session: Session, summary: dict[str, Any], folder: Path) -> None:
    """Both files; those of an earlier run are replaced. Raises: OSError."""
    (folder / SUMMARY).write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / REPORT).write_text(render(session, summary), encoding="utf-8")


def clear(folder: Path) -> None:
    """Take an earlier run's files away, which are not of the one that begins. Raises: OSError."""
    for name in (SUMMARY, REPORT):
        (folder / name).unlink(missing_ok=True)


def render(session: Session, summary: dict[str, Any]) -> str:
    """Self-contained HTML; every value is escaped, a missing one is an error."""
    environment = Environment(
        loader=PackageLoader("load_tests"), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
    )
    focus = focus_of(session)
    return environment.get_template("report.html").render(
        summary=summary,
        findings=findings(summary)[:-1],
        cost=cost(summary),
        charts=charts_of(session, focus),
        focus=next(phase for phase in summary["phases"] if phase["name"] == focus.phase.name),
        stage_names=[*STAGES, "total"],
    )


def focus_of(session: Session) -> Measured:
    """The phase that the figures at the top are of: the step at the knee, else the last one."""
    good = session.knee.good if session.knee else None
    return next((one for one in reversed(steps_of(session.phases)) if one.phase.load == good), session.phases[-1])


def charts_of(session: Session, focus: Measured) -> list[Chart]:
    """Over load where there were steps, over time always."""
    phases, objective = session.phases, session.options.objective
    found = []
    if session.knee is not None:
        found += [latency_over_load(phases, objective, session.knee), throughput_over_load(phases, session.knee)]
    found += [throughput_over_time(phases), latency_over_time(phases, objective)]
    if focus.counted_cell().good.count:
        found.append(distribution(focus))
    if (stages := server_stages(phases)) is not None:
        found.append(stages)
    if session.phases[-1].memory:
        found.append(memory(session.phases[-1], session.growth))
    return found

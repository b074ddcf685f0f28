"""The summary as lines for a terminal."""

from __future__ import annotations

from typing import Any

LATE_MS = 10.0
"""In the median; a generator that keeps up sends within one."""
COLUMNS = ("phase", "load", "due/s", "right/s", "p50 ms", "p95 ms", "p99 ms", "errors", "refused", "")


def table(summary: dict[str, Any]) -> str:
    """A row per phase, what was found, and what the generator cost."""
    rows = [COLUMNS, *(_row(phase) for phase in summary["phases"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [
        "  ".join(
            _cell(text, width, column) for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, "", *findings(summary), *_told(summary["errors"])])


def _told(errors: list[dict[str, Any]]) -> list[str]:
    """Of each kind of error how many, and what one of them said."""
    return [", for example: ".join([f"{one['kind']}: {one['count']}", *one["examples"][:1]]) for one in errors]


def findings(summary: dict[str, Any]) -> list[str]:
    """What a reader wants to know first, in sentences."""
    found = [f"objective: {summary['objective']}: {'met' if summary['met'] else 'missed'}"]
    found += [f"  {fault}" for fault in summary["faults"]]
    knee = summary["knee"]
    unit = "/s" if summary["mode"] == "open" else " clients"
    if knee and knee["load"]:
        beyond = f", missed at {knee['first_bad']:g}{unit}" if knee["first_bad"] else ", and no step missed it"
        found.append(f"knee: {knee['load']:g}{unit}{beyond}")
    found += _overload(summary["overload"], unit) + _soak(summary["soak"]) + _untried(summary["never_sent"])
    return [*found, *_late(summary["phases"]), cost(summary)]


def _untried(names: list[str] | None) -> list[str]:
    if not names:
        return []
    return [f"{len(names)} hostile requests were never sent, such as {names[0]}: a longer load sends all of them"]


def _late(phases: list[dict[str, Any]]) -> list[str]:
    """Where the generator is too slow its own queue is in the latencies."""
    late = [(phase["sent_late_ms"]["p50"] or 0.0, phase["name"]) for phase in phases]
    milliseconds, name = max(late)
    if milliseconds <= LATE_MS:
        return []
    return [
        f"the generator could not keep up: requests of {name} were sent {milliseconds:.0f} ms late (p50), which is in "
        "their latencies: a lower rate, more --processes, or --workers on other machines"
    ]


def _overload(overload: dict[str, Any] | None, unit: str) -> list[str]:
    if overload is None:
        return []
    below, above = overload["at_80_percent"], overload["at_200_percent"]
    again = overload["normal_again_after_s"]
    normal = (
        f"normal after {again:g} s" if again is not None else f"not normal within {overload['watched_after_s']:g} s"
    )
    refusals = f"{above['refused']} refused"
    if above["refused"]:
        refusals += f" in {_ms(above['refused_p50_ms'])} (p50), {_ms(above['refused_p99_ms'])} (p99)"
    share = above["share_of_knee"]
    return [
        f"at 80 % of the knee ({below['load']:g}{unit}): p99 {_ms(below['latency_ms']['p99'])}",
        f"at twice the knee ({above['load']:g}{unit}): {above['good_per_second']:.1f} right answers/s"
        + (f" ({share:.0%} of the knee's)" if share is not None else "")
        + f", accepted p99 {_ms(above['accepted_p99_ms'])}, {refusals}; {normal}",
        *(
            ["twice the knee met the objective too: the steps ended too early, or one was disturbed (--tries)"]
            if above["met"]
            else []
        ),
    ]


def _soak(soak: dict[str, Any] | None) -> list[str]:
    if soak is None:
        return []
    memory, left = soak["memory_bytes"], soak["files_left"]
    if memory is None:
        return ["memory of the service: not known (a longer soak is needed, or --pid where its /metrics does not tell)"]
    text = f"memory of the service: {memory['settled'] / 1e6:.0f} MB settled, {memory['last'] / 1e6:.0f} MB at the end"
    return [f"{text} ({memory['growth']:+.1%})", *([] if left is None else [f"files left: {len(left)}"])]


def cost(summary: dict[str, Any]) -> str:
    """What the generator took from the machine."""
    generator = summary["generator"]
    if not generator["requests"]:
        return "generator: nothing was sent"
    text = f"generator: {generator['cpu_ms_per_request']:.2f} ms of CPU per request"
    if generator["remote"]:
        return f"{text}, on the workers' machines"
    share = generator["share_of_cores"]
    return f"{text}, {share:.0%} of this machine's {generator['cores']} cores; {1 - share:.0%} were left for all else"


def _row(phase: dict[str, Any]) -> tuple[str, ...]:
    latency, errors = phase["latency_ms"], phase["errors"]
    return (
        phase["name"],
        f"{phase['load']:g}",
        f"{phase['offered_per_second']:.1f}",
        f"{phase['good_per_second']:.1f}",
        *(_number(latency[name]) for name in ("p50", "p95", "p99")),
        f"{100 * phase['error_share']:.3g} %" if phase["due"] else "none due",
        str(errors.get("refused 429", 0)),
        "met" if phase["met"] else "missed",
    )


def _cell(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column in (0, len(COLUMNS) - 1) else text.rjust(width)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"


def _ms(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f} ms"

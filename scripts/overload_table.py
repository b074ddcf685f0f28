"""The section of docs/performance.md that shows docs/measured/overload.json."""

from __future__ import annotations

from typing import Any

from load_tests.phase import REFUSED

UNMEASURED = "Not measured yet on a quiet machine: there is no `docs/measured/overload.json`."
Record = dict[str, Any]


def overload_section(record: Record | None) -> str:
    """The knee with both kinds of arrivals, and the soak."""
    if record is None:
        return UNMEASURED
    parts = [_about(record), _knee(record["knee"])]
    if found := record.get("soak"):
        parts.append(_soak(found))
    return "\n\n".join(parts)


def _about(record: Record) -> str:
    where = f"{record['machine']}, {record['cores']} cores which the generator shares"
    return (
        f"{record['bundle']}, {record['date']}, {where}; p50 of the idle service {record['idle_p50_ms']:.1f} "
        f"ms; objective `{record['objective']}`, CONVOY_MAX_WAIT of the same length:\n\n    {record['command']}"
    )


def _knee(knees: dict[str, Record]) -> str:
    names = list(knees)
    rows = [
        ("knee, requests/s", [f"{knees[name]['knee_per_second']:.0f}" for name in names]),
        ("at 80 % of it: p50; p99, ms", [_latency(knees[name]["at_80_percent"]["latency_ms"]) for name in names]),
        ("that p99 / idle p50", [_rounds(knees[name], "p99_at_80_percent_to_idle_p50") for name in names]),
    ]
    above = [knees[name]["at_200_percent"] for name in names]
    rows += [
        ("at twice the knee: right answers/s", [f"{each['good_per_second']:.0f}" for each in above]),
        ("share of the knee's", [f"{100 * each['share_of_knee']:.0f} %" for each in above]),
        ("p99 of the accepted, ms", [f"{each['accepted_p99_ms']:.0f}" for each in above]),
        ("that / the objective", [_rounds(knees[name], "accepted_p99_to_objective") for name in names]),
        ("refused", [f"{each['refused']:,}" for each in above]),
        ("429 after: p50; p99, ms", [_refusals(knees[name]) for name in names]),
        ("other errors", [_others(each["errors"]) for each in above]),
        ("normal again after", [_again(knees[name]) for name in names]),
        ("generator, of the cores", [f"{100 * knees[name]['generator']['share_of_cores']:.0f} %" for name in names]),
    ]
    head = [f"| arrivals | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    return "\n".join([*head, *(f"| {what} | {' | '.join(values)} |" for what, values in rows)])


def _latency(found: dict[str, float]) -> str:
    return f"{found['p50']:.1f}; {found['p99']:.1f}"


def _others(errors: dict[str, int]) -> str:
    return ", ".join(f"{kind}: {count}" for kind, count in errors.items() if kind != REFUSED) or "0"


def _rounds(knee: Record, name: str) -> str:
    """The median, and what it was in the best and the worst round."""
    return _spread(knee[name], [each[name] for each in knee["rounds"]])


def _spread(median: float, values: list[float]) -> str:
    return f"{median:.1f} ({min(values):.1f} to {max(values):.1f})"


def _refusals(knee: Record) -> str:
    found = [each["at_200_percent"]["refused_p99_ms"] for each in knee["rounds"]]
    above = knee["at_200_percent"]
    if not above["refused"]:
        return "-"
    return f"{above['refused_p50_ms']:.1f}; {_spread(above['refused_p99_ms'], [each for each in found if each])}"


def _again(knee: Record) -> str:
    name, never = "normal_again_after_s", f"not within {knee['watched_after_s']:g} s"
    times = [never if each[name] is None else f"{each[name]:.1f}" for each in knee["rounds"]]
    median = never if knee[name] is None else f"{knee[name]:.1f} s"
    return f"{median} ({', '.join(times)})"


def _soak(found: Record) -> str:
    memory = found["memory_bytes"]
    held = (
        f"{memory['settled'] / 1e6:.0f} MB resident after the first minute, {memory['last'] / 1e6:.0f} MB at the end "
        f"({100 * memory['growth']:+.1f} %), {memory['most'] / 1e6:.0f} MB at most"
        if memory
        else "memory unknown"
    )
    faults = "; ".join(found["faults"]) or "no fault"
    own = f" ({found['date']}, `{found['command']}`)" if "command" in found else ""
    knee = "that run's second knee" if own else "the second knee"
    latency = found["latency_ms"]
    return (
        f"Soak{own}: {found['seconds'] / 60:.0f} minutes at {found['load']:g} requests/s, 70 % of {knee}, "
        f"with the service's own settings: {found['due']:,} requests, {found['due'] - found['ok']:,} not answered "
        f"rightly, p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms; {held}; "
        f"files left: {found['files_left']}; {faults}."
    )

"""Write the serving sections of docs/performance.md and docs/peers.svg from what docs/measured holds.

    .venv/bin/python -m scripts.serving_table

Every figure is read from the JSON of scripts/serving_benchmark.py, scripts/peers_benchmark.py and
scripts/overload_benchmark.py, none is typed.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from scripts.overload_table import overload_section
from scripts.peer_turns import ANSWERS_EACH
from scripts.peers_plot import plot

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
MEASURED = ROOT / "docs" / "measured"
PLOT = ROOT / "docs" / "peers.svg"
LIMITS = ("resnet50", "mobilenet_v3_large")
"""The networks whose docs/measured/NAME.jsonl holds the service beside the limit."""

OURS = "convoy"
UNMEASURED = "Not measured yet on a quiet machine: there is no `docs/measured/peers.json`."

Row = dict[str, Any]


def limit_section(measured: dict[str, list[Row]]) -> str:
    """Shares of the in-process limit by network and connections, batching as it is set."""
    lines = [
        "| network | connections | limit, images/s | share of it | lowest and highest | p50, ms | generator, cores |",
        "|---|---|---|---|---|---|---|",
    ]
    for network, rows in measured.items():
        for row in rows:
            ours = row["auto"]
            spread = f"{min(ours['shares']):.2f} to {max(ours['shares']):.2f}"
            lines.append(
                f"| {network} | {row['connections']} | {row['limit_per_second']:.1f} | {ours['share_of_limit']:.2f} "
                f"| {spread} | {ours['p50_ms']:.1f} | {100 * ours['generator_share_of_cores']:.1f} % |"
            )
    return "\n".join(lines)


def together_section(rows: list[Row]) -> str:
    """Pictures a second one by one and as a start chose, and the median of the rounds' own ratios."""
    lines = [
        "| network | file | connections | limit, /s | one by one | p50; p99, ms "
        "| as the start chose | at once | p50; p99, ms | ratio |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        single, chosen = row["off"], row["auto"]
        pairs = zip(chosen["shares"], single["shares"], strict=True)
        ratio = statistics.median(mine / theirs for mine, theirs in pairs)
        about = (f"`{row['target']}`", row["connections"], row["limit_per_second"])
        shown = (_share(single), _times(single), _share(chosen), chosen["together"], _times(chosen))
        cells = (*about, *shown, f"{ratio:.2f}")
        lines.append(f"| {row['network']} | " + " | ".join(map(str, cells)) + " |")
    taken_on = sorted({f"{row['date']}, {row['machine']}, {row['cores']} cores" for row in rows})
    return "\n".join(["; ".join(taken_on) + ":", "", *lines])


def _share(side: Row) -> str:
    return f"{100 * side['share_of_limit']:.0f} %"


def _times(side: Row) -> str:
    return f"{side['p50_ms']:.0f}; {side['p99_ms']:.0f}"


def peers_section(rows: list[Row]) -> str:
    """A table for each network, and what the servers have."""
    if not rows:
        return UNMEASURED
    parts = ["![Images per second of every server](peers.svg)", taken(rows)]
    for group in grouped(rows):
        parts += [f"### {group[0]['model']}", table(group)]
    return "\n\n".join([*parts, "### What each of them has", servers_table(rows)])


def grouped(rows: list[Row]) -> list[list[Row]]:
    """Rows of one table each, by connections, in the order in which they were first measured."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["model"], []).append(row)
    return [sorted(group, key=lambda row: row["connections"]) for group in groups.values()]


def taken(rows: list[Row]) -> str:
    """When, on what and how the rows were measured."""
    days = sorted({row["date"][:10] for row in rows})
    machines = sorted({f"{row['machine']}, {row['cores']} cores" for row in rows})
    generator = max(found["generator_share_of_cores"] for row in rows for found in row["servers"].values())
    commands = "\n".join(f"    {each}" for each in dict.fromkeys(row["command"] for row in rows))
    rounds = " or ".join(sorted({f"{row['rounds']} rounds of {row['seconds']:g} s" for row in rows}))
    if longer := [row["turn_seconds"] for row in rows if row.get("turn_seconds", 0.0) > row["seconds"]]:
        rounds += f" (up to {max(longer):g} s where the limit needs so long to answer each connection {ANSWERS_EACH} "
        rounds += "times)"
    return (
        f"{' and '.join(days)}, {'; '.join(machines)}; medians of {rounds}. The generator shares the cores and took at "
        f"most {100 * generator:.1f} % of them:\n\n{commands}"
    )


def table(group: list[Row]) -> str:
    """Servers down, connections across; the best peer of each column in bold."""
    # By name first: servers of the same rank would otherwise come in any order.
    names = sorted(sorted({name for row in group for name in row["servers"]}), key=lambda name: _rank(name, group))
    counts = " | ".join(f"{row['connections']} conn." for row in group)
    lines = [
        f"| server | {counts} | p50; p99, ms | CPU, ms | refused | errors | wrong |",
        "|" + "---|" * (len(group) + 6),
        *(_values(f"limit of `{target}`", [f"{rate:.1f}" for rate in rates]) for target, rates in _limits(group)),
    ]
    lines += [_line(name, group) for name in names]
    for name in (name for name in names if _is_ours(name)):
        ratios = [row["ratio_to_best_peer"].get(name) for row in group]
        lines.append(_values(f"{name} to the best peer", ["-" if each is None else f"{each:.2f}" for each in ratios]))
    return "\n".join([*lines, *_left_out(group)])


def _is_ours(name: str) -> bool:
    return name.startswith(OURS)


def _limits(group: list[Row]) -> list[tuple[str, list[float]]]:
    targets = group[0]["limits_images_per_second"]
    return [(target, [row["limits_images_per_second"][target] for row in group]) for target in targets]


def _values(name: str, values: list[str]) -> str:
    return f"| {name} | {' | '.join(values)} | | | | | |"


def _rank(name: str, group: list[Row]) -> tuple[bool, float]:
    """This service first, then the fastest."""
    shares = [row["servers"][name]["share_of_limit"] for row in group if name in row["servers"]]
    return not _is_ours(name), -max(shares, default=0.0)


def _line(name: str, group: list[Row]) -> str:
    found = [row["servers"][name] for row in group if name in row["servers"]]
    cells = [_cell(name, row) for row in group]
    times = " / ".join(f"{each['p50_ms']:.0f}; {each['p99_ms']:.0f}" if each["p50_ms"] else "-" for each in found)
    costs = " / ".join("-" if (cost := each["cpu_ms_per_answer"]) is None else f"{cost:.1f}" for each in found)
    sums = [str(sum(each[what] for each in found)) for what in ("refused", "errors", "wrong_answers")]
    return f"| {' | '.join([name, *cells, times, costs, *sums])} |"


def _cell(name: str, row: Row) -> str:
    if name not in row["servers"]:
        return "-"
    found = row["servers"][name]
    text = f"{found['images_per_second']:.1f} ({100 * found['share_of_limit']:.0f} %)"
    return f"**{text}**" if row["best_peer"] == name else text


def _left_out(group: list[Row]) -> list[str]:
    reasons = {name: reason for row in group for name, reason in row["left_out"].items()}
    return ["", *(f"Left out: {reason}." for reason in reasons.values())] if reasons else []


def servers_table(rows: list[Row]) -> str:
    """Each server's processes, threads and versions."""
    about = {name: each for row in rows for name, each in row["about"].items()}
    lines = ["| server | serves | has | asked with | versions |", "|---|---|---|---|---|"]
    for name, each in about.items():
        paused = "; paused while others are measured: it polls" if each["paused_between_turns"] else ""
        found = ", ".join(f"{library} {version}" for library, version in each["versions"].items())
        lines.append(f"| {name} | {_served(name, rows)} | {each['has']}{paused} | {each['request']} | {found} |")
    return "\n".join(lines)


def _served(name: str, rows: list[Row]) -> str:
    """The artefacts that it had; this service's own choice may be another for another network."""
    found = (row["about"][name]["serves"] for row in rows if name in row["about"])
    return ", ".join(f"`{each}`" for each in dict.fromkeys(found) if each) or "-"


def replaced(page: str, name: str, body: str) -> str:
    """`page` with `body` between the two comments of the section. Raises: ValueError when they are not there."""
    begin, end = f"<!-- {name}: written by scripts/serving_table.py -->", f"<!-- end of {name} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"{name}: expected one `{begin}` and one `{end}`")
    head, _, rest = page.partition(begin)
    return f"{head}{begin}\n\n{body}\n\n{end}{rest.partition(end)[2]}"


def measured_limits() -> dict[str, list[Row]]:
    """By network, a row for each number of connections."""
    files = {network: (MEASURED / f"{network}.jsonl").read_text() for network in LIMITS}
    return {network: [json.loads(line) for line in text.splitlines()] for network, text in files.items()}


def measured_together() -> list[Row]:
    """A row for each network, file and number of connections."""
    return [json.loads(line) for line in (MEASURED / "together.jsonl").read_text().splitlines()]


def measured_peers() -> list[Row]:
    """What scripts/peers_benchmark.py has finished."""
    path = MEASURED / "peers.json"
    rows: list[Row] = json.loads(path.read_text())["rows"] if path.is_file() else []
    return rows


def measured_overload() -> Row | None:
    """What scripts/overload_benchmark.py has found."""
    path = MEASURED / "overload.json"
    return dict(json.loads(path.read_text())) if path.is_file() else None


def written(page: str) -> str:
    """The page with its sections anew."""
    page = replaced(page, "limit", limit_section(measured_limits()))
    page = replaced(page, "together", together_section(measured_together()))
    page = replaced(page, "peers", peers_section(measured_peers()))
    return replaced(page, "overload", overload_section(measured_overload()))


def main() -> None:
    """Page and drawing."""
    PAGE.write_text(written(PAGE.read_text()))
    if rows := measured_peers():
        PLOT.write_text(plot(grouped(rows)))


if __name__ == "__main__":
    main()

"""The parts of docs/phone.md that are written by measurements, between <!-- NAME --> and <!-- /NAME -->."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "phone.md"
QUIET: Final = 0.7
"""A load average above it means that something else was running."""


def put(name: str, section: str) -> None:
    """Replace the section. Raises: ValueError when the page has no such marks."""
    text = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"{PAGE} has no <!-- {name} --> … <!-- /{name} -->")
    PAGE.write_text(pattern.sub(lambda found: found[1] + section + found[2], text), encoding="utf-8")


def time_section(time: dict[str, Any]) -> str:
    """What a picture takes by either file, and where the time goes."""
    lines = [
        "",
        "| threads | fp32, ms a picture | int8, ms a picture | int8's speed against fp32 |",
        "|---|---|---|---|",
    ]
    for one in time["page"]:
        fp32, int8 = (one["ms"][precision]["infer_median"] for precision in ("fp32", "int8"))
        lines.append(f"| {one['threads']} | {fp32:.1f} | {int8:.1f} | {one['int8_speed_of_fp32']:.2f} |")
    if time["load_before"] > QUIET:
        lines += [
            "",
            f"**Measured beside other work (load {time['load_before']:.1f}): these times are no figures yet.**",
        ]
    lines += ["", "| operators | fp32, ms (nodes) | int8, ms (nodes) |", "|---|---|---|"]
    kinds = {precision: _grouped(found) for precision, found in time["profile"]["kinds"].items()}
    for group in ("dense convolutions", "depthwise convolutions", "everything else"):
        cells = [f"{kinds[precision][group][1]:.1f} ({kinds[precision][group][0]})" for precision in ("fp32", "int8")]
        lines.append(f"| {group} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n"


def _grouped(kinds: dict[str, Any]) -> dict[str, tuple[int, float]]:
    """Nodes and ms by group."""
    groups = {"dense convolutions": (0, 0.0), "depthwise convolutions": (0, 0.0), "everything else": (0, 0.0)}
    for operator, found in kinds.items():
        kind = operator.rpartition(", ")[2]
        name = f"{kind} convolutions" if kind in ("dense", "depthwise") else "everything else"
        nodes, ms = groups[name]
        groups[name] = (nodes + found["nodes"], ms + found["ms"])
    return groups


def resize_section(records: list[dict[str, Any]]) -> str:
    """The cost of every way to make a picture small, by network."""
    lines = []
    for record in records:
        lines += ["", f"**{record['network']}**, {record['pictures']} pictures:", ""]
        lines += [
            "| way | mean pixel difference | fp32 right | changed | int8 right | changed |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(name, way) for name, way in record["ways"].items()]
    return "\n".join(lines) + "\n\n"


def _row(name: str, way: dict[str, Any]) -> str:
    cells = [name, f"{way['mean_pixel_difference']:.1f}"]
    for precision in ("fp32", "int8"):
        one = way[precision]
        low, high = (100 * value for value in one["gain_95"])
        points = "" if name == "exact" else f" ({100 * one['gain']:+.1f}: {low:+.1f} to {high:+.1f})"
        cells += [f"{one['right']}{points}", str(one["changed"])]
    return f"| {' | '.join(cells)} |"

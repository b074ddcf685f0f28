"""The drawing of docs/performance.md: images per second of every server, a panel for each network."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

Row = dict[str, Any]

WIDTH, LEFT, RIGHT = 820, 150, 120
HEADER, BAR, GAP, PANEL_GAP = 56, 9, 7, 26
OURS = "convoy"
TONES = {True: ("#9db8e0", "#6d94cf", "#3f70bd", "#1f4e9c"), False: ("#d5d5d5", "#b8b8b8", "#999999", "#787878")}
"""Few to many connections: this service in blue, peers in grey."""


def plot(groups: list[list[Row]]) -> str:
    """An SVG; each group is one table's rows, by connections."""
    parts, top = [], 16.0
    for group in groups:
        panel, height = _panel(group, top)
        parts += panel
        top += height + PANEL_GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" width="{WIDTH}" '
        'font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="Images per second of every server">'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{top:.0f}" fill="#ffffff"/>', *parts, "</svg>"]) + "\n"


def _panel(group: list[Row], top: float) -> tuple[list[str], float]:
    """The lines of one panel and its height."""
    group = group[-4:]
    names = _names(group)
    limits = {target: max(row["limits_images_per_second"][target] for row in group) for target in _targets(group)}
    most = max([*limits.values(), *(found["images_per_second"] for row in group for found in row["servers"].values())])
    scale = (WIDTH - LEFT - RIGHT) / most
    counts = ", ".join(str(row["connections"]) for row in group)
    lines = [
        _text(0, top + 4, group[0]["model"], 'font-size="15" font-weight="600"', anchor="start", indent=16),
        _text(0, top + 22, f"images/s with {counts} connections, bars from above", 'fill="#555"', "start", 16),
    ]
    block = len(group) * BAR
    for number, name in enumerate(names):
        y = top + HEADER + number * (block + GAP)
        lines.append(_text(LEFT - 8, y + block / 2 + 4, name, 'font-weight="600"' if _is_ours(name) else ""))
        lines += _bars(name, group, y, scale)
    bottom = top + HEADER + len(names) * (block + GAP)
    for number, (target, limit) in enumerate(limits.items()):
        x, above = LEFT + limit * scale, top + HEADER - 4 - 11 * (len(limits) - 1 - number)
        lines.append(f'<path d="M{x:.1f} {above - 8:.1f}V{bottom:.1f}" stroke="#c0392b" stroke-dasharray="4 3"/>')
        lines.append(_text(x, above, f"limit of {target}: {limit:.1f}", 'font-size="10" fill="#c0392b"', "start", 4))
    return lines, bottom - top


def _is_ours(name: str) -> bool:
    return name.startswith(OURS)


def _targets(group: list[Row]) -> list[str]:
    return list(group[0]["limits_images_per_second"])


def _names(group: list[Row]) -> list[str]:
    """This service, then the fastest first."""
    best: dict[str, float] = {}
    for row in group:
        for name, found in row["servers"].items():
            best[name] = max(best.get(name, 0.0), found["images_per_second"])
    return sorted(best, key=lambda name: (not _is_ours(name), -best[name], name))


def _bars(name: str, group: list[Row], y: float, scale: float) -> list[str]:
    lines, tones = [], TONES[_is_ours(name)][-len(group) :]
    for number, (row, tone) in enumerate(zip(group, tones, strict=True)):
        if name not in row["servers"]:
            continue
        rate, at = row["servers"][name]["images_per_second"], y + number * BAR
        lines.append(f'<rect x="{LEFT}" y="{at:.1f}" width="{rate * scale:.1f}" height="{BAR - 1}" fill="{tone}"/>')
        lines.append(_text(LEFT + rate * scale + 4, at + BAR - 1, f"{rate:.1f}", 'font-size="9" fill="#333"', "start"))
    return lines


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "end", indent: float = 0) -> str:
    return f'<text x="{x + indent:.1f}" y="{y:.1f}" text-anchor="{anchor}" {style}>{escape(text)}</text>'

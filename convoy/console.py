"""How the command line speaks: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def show(rows: list[tuple[str, str]], *, as_json: bool) -> None:
    """Two columns for people, one object for programs."""
    if as_json:
        out.print_json(json.dumps(dict(rows)))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    Console(highlight=False).print(table)


def next_step(command: str) -> None:
    """What one would do now."""
    err.print(f"[dim]next:[/dim] {command}", markup=True)


def print_line(value: Any) -> None:
    """One JSON line."""
    out.print(json.dumps(value, ensure_ascii=False), markup=False)

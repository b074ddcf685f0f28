"""How the command line speaks: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

out = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)


def show(rows: list[tuple[str, str]], record: Mapping[str, Any], *, as_json: bool) -> None:
    """Two columns for people, `record` with its numbers for programs."""
    if as_json:
        print_text(json.dumps(record, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    Console(highlight=False).print(table)


def next_step(command: str) -> None:
    """What one would do now."""
    err.print(Text("next: ", "dim") + Text(command))


def print_line(value: Any) -> None:
    """One JSON line."""
    print_text(json.dumps(value, ensure_ascii=False))


def print_text(text: str) -> None:
    """One line as it is: what programs read goes through no markup, wrapping or emoji."""
    sys.stdout.write(text + "\n")

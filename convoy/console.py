"""How the command line speaks: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from bundle.errors import CannotWrite

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


def grid(columns: Sequence[str], rows: Iterable[Sequence[str]], *, head: bool = True) -> None:
    """A table of plain text, as wide as its content; a `>` behind a column's name puts its numbers to the right."""
    table = Table(box=None, pad_edge=False, show_header=head)
    for column in columns:
        table.add_column(column.removesuffix(">"), justify="right" if column.endswith(">") else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    wide = Console(width=10_000)
    # rich would cut columns to fit; a line that the terminal breaks loses nothing.
    Console(width=max(1, Measurement.get(wide, wide.options, table).maximum), highlight=False).print(table)


def write_text(path: Path, text: str) -> None:
    """Write a document and say so. Raises: CannotWrite."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotWrite(path, error.strerror or str(error)) from error
    err.print(f"wrote {path}")


def next_step(command: str) -> None:
    """What one would do now."""
    err.print(Text("next: ", "dim") + Text(command))


def print_line(value: Any) -> None:
    """One JSON line."""
    print_text(json.dumps(value, ensure_ascii=False))


def print_text(text: str) -> None:
    """One line as it is: what programs read goes through no markup, wrapping or emoji."""
    sys.stdout.write(text + "\n")

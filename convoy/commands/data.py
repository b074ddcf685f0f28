from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.progress import Progress

from bundle.errors import CannotWrite
from convoy.commands.options import Json
from convoy.console import err, grid, next_step, out
from convoy.errors import NotPng

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.duplicates import Duplicate
    from models.inspection import Inspection
    from models.survey import Spread, Survey

SHOWN = 20
"""So many bad files, and so many duplicates, are printed; `--json` has all."""


def data(
    path: Annotated[
        Path, typer.Argument(metavar="DATA", help="A folder, a CSV, a zip of either, idx files, or a name: cifar10.")
    ],
    sheet: Annotated[
        Optional[Path], typer.Option(metavar="FILE.png", help="Draw some pictures of every class.")
    ] = None,
    json: Json = False,
) -> None:
    """Look at data before training: counts, sizes, imbalance, bad and duplicate files. Exit 1 when files are bad."""
    from models.survey import survey

    if sheet and sheet.suffix.lower() != ".png":
        raise NotPng(sheet)
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:

        def track(found: Iterable[Inspection], total: int) -> Iterable[Inspection]:
            return progress.track(found, total=total, description="checking")

        surveyed = survey(path, track=track)
    if sheet:
        _write_sheet(surveyed, sheet)
    if json:
        out.print_json(data=surveyed.as_dict())
    else:
        _print(surveyed)
    if surveyed.bad:
        raise typer.Exit(1)
    next_step(f"convoy train --arch mobilenet_v2 --weights imagenet --data {path} --out runs/{path.stem}")


def _write_sheet(surveyed: Survey, path: Path) -> None:
    from models.contact_sheet import contact_sheet

    try:
        contact_sheet(surveyed).save(path)
    except OSError as error:
        raise CannotWrite(path, error.strerror or str(error)) from error
    err.print(f"wrote {path}", markup=False)


def _print(surveyed: Survey) -> None:
    counts = f"{surveyed.pictures:,} pictures in {len(surveyed.classes)} classes, {surveyed.bytes / 1e6:,.1f} MB"
    out.print(f"{surveyed.path}: {surveyed.kind}, {counts}\n", markup=False)
    parts = surveyed.parts
    rows = [
        (name, *(f"{part.counts[label]:,}" for part in parts), _bar(surveyed, label))
        for label, name in enumerate(surveyed.classes)
    ]
    total = ("all", *(f"{len(part.good):,}" for part in parts), "")
    grid(("class", *(f"{part.name}>" for part in parts), ""), [*rows, total])
    out.print()
    grid(("", ""), _facts(surveyed), head=False)
    _list("bad files", [f"{path}: {reason}" for path, reason in surveyed.bad])
    _list("the same picture more than once", [_line(one) for one in _worst_first(surveyed.duplicates)])


def _bar(surveyed: Survey, label: int) -> str:
    total = [sum(part.counts[index] for part in surveyed.parts) for index in range(len(surveyed.classes))]
    return "█" * round(24 * total[label] / max(1, *total))


def _facts(surveyed: Survey) -> list[tuple[str, str]]:
    found = surveyed.duplicates
    leaks, contradicting = sum(one.leaks for one in found), sum(one.contradicts for one in found)
    facts = [("width", _pixels(surveyed.width)), ("height", _pixels(surveyed.height))]
    if surveyed.extremes:
        facts.append(("imbalance", _imbalance(surveyed.imbalance, *surveyed.extremes)))
    facts.append(("bad files", str(len(surveyed.bad))))
    more = f", {leaks} across splits, {contradicting} under different labels" if found else ""
    facts.append(("duplicates", f"{len(found)}{more}"))
    return facts


def _imbalance(ratio: float | None, smallest: str, largest: str) -> str:
    if ratio is None:
        return f"{smallest} has no readable picture"
    return f"{ratio:.2f}: {largest} has most, {smallest} fewest" if ratio > 1 else "1.00"


def _pixels(spread: Spread | None) -> str:
    if spread is None:
        return "no readable picture"
    if spread.smallest == spread.largest:
        return f"{spread.median} px"
    return f"{spread.smallest} to {spread.largest} px, median {spread.median}"


def _worst_first(found: Iterable[Duplicate]) -> list[Duplicate]:
    return sorted(found, key=lambda one: (not one.leaks, not one.contradicts))


def _line(one: Duplicate) -> str:
    words = [word for word, true in (("across splits", one.leaks), ("different labels", one.contradicts)) if true]
    return f"{one} ({', '.join(words)})" if words else str(one)


def _list(title: str, lines: list[str]) -> None:
    if not lines:
        return
    out.print(f"\n{title}")
    for line in lines[:SHOWN]:
        out.print(f"  {line}", markup=False)
    if len(lines) > SHOWN:
        out.print(f"  and {len(lines) - SHOWN} more: --json lists all")

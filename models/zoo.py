"""The zoo as a table: what each architecture costs and what its weights reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from models.describe import describe_entry, input_pixels
from models.errors import UnknownFamily, YearsInvalid
from models.registry import Entry, entries


@dataclass(frozen=True)
class Row:
    """gmacs at `pixels`. weights: published sets, the one taken by default first; top1 and top5 are of that, in
    per cent on ImageNet, None without weights.
    """

    name: str
    title: str
    family: str
    year: int
    paper: str
    parameters: int
    gmacs: float
    pixels: int
    weights: tuple[str, ...]
    top1: float | None
    top5: float | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Filter:
    """What to list; None means everything. `years` is a year, or the first and the last: 2014-2017."""

    family: str | None = None
    max_parameters: float | None = None
    max_gmacs: float | None = None
    years: str | None = None
    pretrained: bool = False


def zoo(wanted: Filter | None = None) -> list[Row]:
    """The architectures that pass the filter, oldest first. Raises: UnknownFamily, YearsInvalid."""
    wanted = wanted or Filter()
    known = entries().values()
    first, last = _years(wanted.years)
    chosen = [
        entry
        for entry in _of_family(known, wanted.family)
        if first <= entry.year <= last
        and entry.parameters <= (wanted.max_parameters or float("inf"))
        and (entry.weights or not wanted.pretrained)
    ]
    rows = [row_of(entry) for entry in chosen]
    rows = [row for row in rows if row.gmacs <= (wanted.max_gmacs or float("inf"))]
    return sorted(rows, key=lambda row: (row.year, row.family, row.parameters))


def row_of(entry: Entry) -> Row:
    """What the weights say, or what is counted on the layers where there are none."""
    best = entry.default_weights
    others = tuple(weights.name for weights in entry.weights if not weights.default)
    return Row(
        name=entry.name,
        title=entry.title,
        family=entry.family,
        year=entry.year,
        paper=entry.paper,
        parameters=entry.parameters,
        gmacs=best.gmacs if best else round(describe_entry(entry).macs / 1e9, 6),
        pixels=input_pixels(entry),
        weights=(best.name, *others) if best else (),
        top1=best.top1 if best else None,
        top5=best.top5 if best else None,
    )


def _of_family(known: Iterable[Entry], family: str | None) -> list[Entry]:
    families = sorted({entry.family for entry in known})
    if family is not None and family not in families:
        raise UnknownFamily(family, families)
    return [entry for entry in known if family in (None, entry.family)]


def _years(text: str | None) -> tuple[int, int]:
    if text is None:
        return 0, 9999
    first, dash, last = text.partition("-")
    if not (first.isdecimal() and (last.isdecimal() or not dash)):
        raise YearsInvalid(text)
    return int(first), int(last) if dash else int(first)

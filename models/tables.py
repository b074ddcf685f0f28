"""A CSV of pictures and labels → a source."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import BadTable, NoTableRows
from models.labels import index_of, usable
from models.samples import Sample
from models.splits import SPELLINGS, TRAIN, WHOLE, Source, part_of
from models.trees import Tree

PATH_COLUMNS, LABEL, INDEX, SPLIT = ("path", "file"), "label", "class_index", "split"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a picture's cell, its label or its class index or both, and its part."""

    line: int
    picture: str
    label: str | None
    index: int | None
    part: str


def parse(table: Path, lines: Iterable[str]) -> Iterator[Row]:
    """Rows of a CSV with a header. Raises: BadTable, which names the line."""
    rows = csv.DictReader(lines, strict=True)
    try:
        header = rows.fieldnames or []
        for names in (PATH_COLUMNS, (INDEX, LABEL)):
            if not set(names) & set(header):
                found = ", ".join(header) or "an empty header"
                raise BadTable(table, 1, f"no column {' or '.join(names)} in {found}")
        for cells in rows:
            yield _row(table, rows.line_num, cells)
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadTable(table, max(1, rows.line_num), f"not a CSV file: {error}") from error


def read_table(tree: Tree, name: str, lines: Iterable[str], labels: Sequence[str] | None = None) -> Source:
    """The table `name` of a tree; its classes are `labels`, or those of the training rows.

    With both columns the class index rules and the label is checked against it.
    Raises: BadTable, UnknownLabel, AmbiguousLabel, TooFewClasses, UnusableLabel, NoTableRows.
    """
    path = tree.path / name
    rows = list(parse(path, lines))
    if not rows:
        raise NoTableRows(path)
    classes = tuple(labels) if labels is not None else _classes(path, rows)
    parts: dict[str, list[Sample]] = {}
    # Looked up once per name: `index_of` walks through all classes.
    known: dict[str, int] = {}
    for row in rows:
        try:
            picture = tree.beside(name, row.picture)
        except ValueError as error:
            raise BadTable(path, row.line, str(error)) from error
        label = _label(path, row, classes, known, trained=labels is None)
        parts.setdefault(row.part, []).append(tree.sample(picture, label))
    return Source(f"{tree.kind} with a table" if tree.kind == "zip" else "table", classes, _ordered(parts))


def _row(table: Path, line: int, cells: dict[str, str | None]) -> Row:
    picture = next((cells[name] for name in PATH_COLUMNS if name in cells), None)
    label, index, split = cells.get(LABEL), cells.get(INDEX), cells.get(SPLIT)
    if (
        not picture
        or (LABEL in cells and not label)
        or (INDEX in cells and not index)
        or (SPLIT in cells and not split)
    ):
        raise BadTable(table, line, "a cell is empty")
    if "\0" in picture:
        raise BadTable(table, line, "a path holds a null character")
    if index is not None and not (index.isascii() and index.isdecimal() and len(index) < 10):
        raise BadTable(table, line, f"class_index {index!r} is not a number from 0 on")
    part = part_of(split) if split else WHOLE
    if part is None:
        spellings = ", ".join(word for words in SPELLINGS.values() for word in words)
        raise BadTable(table, line, f"split {split!r} is not one of {spellings}")
    return Row(line, picture, label, None if index is None else int(index), part)


def _classes(table: Path, rows: Sequence[Row]) -> tuple[str, ...]:
    """The names in the order of their indices; without indices sorted; without names the indices themselves."""
    trained = [row for row in rows if row.part in (TRAIN, WHOLE)]
    if not trained:
        raise NoTableRows(table)
    if trained[0].index is None:
        return usable(table, sorted({row.label or "" for row in trained}))
    names: dict[int, str] = {}
    for row in trained:
        names.setdefault(row.index or 0, str(row.index) if row.label is None else row.label)
    missing = next((index for index in range(len(names)) if index not in names), None)
    if missing is not None:
        raise BadTable(table, 1, f"class_index goes to {max(names)}, but no training row has {missing}")
    return usable(table, (names[index] for index in range(len(names))))


def _label(table: Path, row: Row, classes: Sequence[str], known: dict[str, int], *, trained: bool) -> int:
    if row.index is None:
        name = row.label or ""
        if name not in known:
            known[name] = index_of(table, name, classes)
        return known[name]
    if row.index >= len(classes):
        raise BadTable(table, row.line, f"class_index '{row.index}' is not one of 0..{len(classes) - 1}")
    # A checkpoint's labels may be spelled otherwise than a table's; another class's name is no spelling.
    if row.label not in (None, classes[row.index]) and (trained or row.label in classes):
        raise BadTable(table, row.line, f"class_index {row.index} is {classes[row.index]!r}, not {row.label!r}")
    return row.index


def _ordered(parts: dict[str, list[Sample]]) -> dict[str, list[Sample]]:
    return {part: parts[part] for part in (*SPELLINGS, WHOLE) if part in parts}

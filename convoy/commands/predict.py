from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from enum import StrEnum
from glob import glob
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from bundle.image import SUFFIXES
from convoy.console import err, out, print_line, print_text
from convoy.errors import NoPaths, NoSuchPath, NothingToClassify, NotTogether

Row = tuple[Path, list, str | None]  # type: ignore[type-arg]
Rows = Iterator[Row]


class Format(StrEnum):
    table = "table"
    jsonl = "jsonl"
    csv = "csv"


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="BUNDLE PATH...", help="A bundle folder, then images, folders, or quoted patterns."),
    ],
    url: Annotated[
        Optional[str], typer.Option(help="Ask a running service instead of a bundle: only PATH... then.")
    ] = None,
    target: Annotated[
        Optional[str], typer.Option(help="The bundle's ONNX file that answers, such as onnx-int8; onnx by itself.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Classes per image.")] = 5,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.table,
    json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
) -> None:
    """Classify images with a bundle or a running service. An unreadable image is one error row; exit code 1 then."""
    if url and target:
        raise NotTogether("--target", "--url", "the service has chosen its file")
    bundle, wanted = (None, paths) if url else (Path(paths[0]), paths[1:])
    if not wanted:
        raise NoPaths()
    files = list(find_images(wanted))
    if not files:
        raise NothingToClassify(wanted)
    rows = _ask(url, files, top_k) if bundle is None else _classify(bundle, target or "onnx", files, top_k)
    shape = Format.jsonl if json else format
    write = {Format.table: _table, Format.jsonl: _jsonl, Format.csv: _csv}[shape]
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        failed = write(progress.track(rows, total=len(files), description="classifying"))
    if failed:
        raise typer.Exit(1)


def _classify(bundle: Path, target: str, files: list[Path], top_k: int) -> Rows:
    from bundle.classify import Classifier
    from bundle.cores import available_cores

    classifier = Classifier(bundle, target, threads=available_cores())
    return ((path, *classifier.try_file(path, top_k)) for path in files)


def _ask(url: str | None, files: list[Path], top_k: int) -> Rows:
    from convoy.remote import Remote

    return Remote(url or "", top_k).classify(files)


def find_images(paths: list[str]) -> Iterator[Path]:
    """Files as given, folders searched for images below them, patterns expanded. Raises: NoSuchPath."""
    for text in paths:
        path = Path(text)
        if not text:
            raise NoSuchPath("''")
        if path.is_dir():
            yield from sorted(item for item in path.rglob("*") if item.suffix.lower() in SUFFIXES and item.is_file())
        elif path.is_file():
            yield path
        elif matches := sorted(glob(text, recursive=True)):  # noqa: PTH207 - Path.glob takes no absolute pattern
            yield from (Path(match) for match in matches if Path(match).is_file())
        else:
            raise NoSuchPath(text)


def _table(rows: Iterable[Row]) -> int:
    table = Table(box=None, pad_edge=False)
    for column in ("image", "answer", "probability", "then"):
        table.add_column(column, overflow="fold", justify="right" if column == "probability" else "left")
    failed = 0
    for path, answers, error in rows:
        if error:
            failed += 1
            table.add_row(Text(str(path)), Text(f"error: {error}", "red"), "", "")
            continue
        first, *rest = answers
        then = ", ".join(f"{answer.label} {answer.probability:.3f}" for answer in rest)
        table.add_row(Text(str(path)), Text(first.label), f"{first.probability:.4f}", Text(then))
    out.print(table)
    return failed


def _jsonl(rows: Iterable[Row]) -> int:
    failed = 0
    for path, answers, error in rows:
        failed += error is not None
        result = {"error": error} if error else {"predictions": [answer.as_dict() for answer in answers]}
        print_line({"image": str(path), **result})
    return failed


def _csv(rows: Iterable[Row]) -> int:
    failed = 0
    _csv_line("image", "rank", "label", "index", "probability", "error")
    for path, answers, error in rows:
        failed += error is not None
        if error:
            _csv_line(path, "", "", "", "", error)
        for rank, answer in enumerate(answers, start=1):
            _csv_line(path, rank, answer.label, answer.index, f"{answer.probability:.6f}", "")
    return failed


def _csv_line(*cells: object) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    print_text(buffer.getvalue())

"""A benchmark as JSON, as a drawing and as a page."""

from __future__ import annotations

import json
import os
from pathlib import Path

from bundle.errors import CannotWrite, TargetExists
from export.benchmark import FILE, Benchmark
from export.card import render
from export.latency_plot import plot_of

SVG, PAGE = "benchmark.svg", "benchmark.html"


def refuse_files(folder: Path, *, overwrite: bool) -> None:
    """Raises: TargetExists when a file of an earlier benchmark is there and may not be replaced; CannotWrite."""
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise CannotWrite(folder, f"{above} is not a folder that can be written to")
    for name in (FILE, SVG, PAGE):
        if not overwrite and (folder / name).exists():
            raise TargetExists(folder / name)


def write_files(folder: Path, found: Benchmark) -> None:
    """Write the three; where no accuracy is known there is no drawing, not even an old one. Raises: CannotWrite."""
    plot = plot_of(found)
    pages = {PAGE: render("benchmark.html", escape=True, title="Benchmark", found=found, plot=plot)}
    if plot is not None:
        pages[SVG] = render("latency.svg.xml", escape=True, plot=plot).strip() + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder, found)
        if plot is None:
            (folder / SVG).unlink(missing_ok=True)
        for name, text in pages.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotWrite(error.filename or folder, error.strerror or str(error)) from error


def write_json(folder: Path, found: Benchmark) -> str:
    """Write benchmark.json; returns its name."""
    text = json.dumps(found.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    (folder / FILE).write_text(text, encoding="utf-8")
    return FILE

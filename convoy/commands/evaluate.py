from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from convoy.console import err, grid, next_step, out, print_text, show

if TYPE_CHECKING:
    from models.examination import Examined
    from models.figures import Figures

WORST = 5


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A checkpoint folder.")],
    data: Annotated[
        Optional[Path],
        typer.Option(
            help="Labelled pictures: a folder of classes, or a CSV (path or file, label or class_index). "
            "Default: what the checkpoint was validated on."
        ),
    ] = None,
    folder: Annotated[
        Optional[Path],
        typer.Option("--out", metavar="FOLDER", help="Where metrics.json and report.html go. Default: evaluations/RUN"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the two files if they exist.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print metrics.json instead of a table.")] = False,
) -> None:
    """Measure a checkpoint on labelled pictures: every metric with its interval, and a report to look at."""
    from models.examination import examine
    from models.figures import to_json

    examined = examine(run, folder or Path("evaluations") / run.name, data=data, overwrite=overwrite)
    for path, reason in examined.skipped:
        err.print(f"left out {path}: {reason}", style="yellow")
    if json:
        print_text(to_json(examined.figures).rstrip())
        return
    show(_rows(examined), {}, as_json=False)
    _worst(examined.figures)
    next_step(f"open {examined.folder / 'report.html'}")


def _rows(examined: Examined) -> list[tuple[str, str]]:
    figures, intervals = examined.figures, examined.figures.intervals
    auc = figures.roc_auc
    return [
        ("pictures", f"{figures.n} ({figures.split})"),
        ("top-1", _with(figures.top1, intervals.top1)),
        ("top-5", f"{figures.top5:.4f}"),
        ("macro precision, recall", f"{figures.precision.macro:.4f}, {figures.recall.macro:.4f}"),
        ("macro F1", _with(figures.f1.macro, intervals.macro_f1)),
        ("mean average precision", _with(figures.mean_average_precision, intervals.mean_average_precision)),
        ("ROC AUC, mean", "none" if auc is None else f"{auc:.4f}"),
        ("calibration error", _with(figures.calibrated.ece, intervals.ece)),
        ("  before temperature", f"{figures.uncalibrated.ece:.4f}, temperature {figures.temperature:.3f}"),
        ("report", str(examined.folder / "report.html")),
    ]


def _with(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.4f}  (95 %: {interval[0]:.4f} to {interval[1]:.4f})"


def _worst(figures: Figures) -> None:
    from models.report import by_f1

    def cell(value: float | None) -> str:
        return "none" if value is None else f"{value:.4f}"

    out.print("\nworst classes")
    grid(
        ("class", "F1>", "precision>", "recall>", "pictures>"),
        [
            (item.label, cell(item.f1), cell(item.precision), cell(item.recall), str(item.pictures))
            for item in by_f1(figures)[:WORST]
        ],
    )

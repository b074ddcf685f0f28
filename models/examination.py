"""A checkpoint measured on labelled pictures: `metrics.json` and `report.html`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bundle.errors import CannotWrite, TargetExists
from bundle.folder import MANIFEST
from models.checkpoint import Checkpoint, load_checkpoint
from models.data import Pictures
from models.errors import NoLabels
from models.figures import FILE as METRICS
from models.figures import Figures, to_json
from models.history import read_history
from models.inference import use_threads
from models.measure import Answers, answers_of, measure
from models.mistakes import worst_mistakes
from models.registry import find
from models.report import FILE as PAGE
from models.report import Report, render_report
from models.summary import split_of
from models.validated import evaluation_pictures


@dataclass(frozen=True)
class Examined:
    """The figures, and the folder with `metrics.json` and `report.html`. skipped: unreadable pictures."""

    figures: Figures
    folder: Path
    skipped: tuple[tuple[Path, str], ...]


def examine(run: Path, out: Path, *, data: Path | None = None, overwrite: bool = False) -> Examined:
    """Measure the checkpoint `run` on `data`, or on what it was validated on, with the temperature of its manifest.

    Raises: FolderError, the errors of `models.validated`, NoLabels, NotFinite, TargetExists, CannotWrite.
    """
    _refuse(out, overwrite=overwrite)
    checkpoint = load_checkpoint(run)
    manifest = checkpoint.manifest
    pictures = evaluation_pictures(manifest, data)
    if not pictures.labelled:
        raise NoLabels(data)
    use_threads(manifest.preprocess.crop)
    answers = answers_of(checkpoint.network, manifest.preprocess, pictures, manifest.temperature)
    figures = measure(answers, manifest.labels, pictures.fingerprint, pictures.split)
    page = render_report(_report(checkpoint, figures, answers, pictures))
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / METRICS).write_text(to_json(figures), encoding="utf-8")
        (out / PAGE).write_text(page, encoding="utf-8")
    except OSError as error:
        raise CannotWrite(out, error.strerror or str(error)) from error
    return Examined(figures, out, pictures.skipped)


def _refuse(out: Path, *, overwrite: bool) -> None:
    """Before hours of measuring, not after them."""
    if (out / MANIFEST).exists():
        raise CannotWrite(out, "a checkpoint or bundle, whose files are checksummed: choose another --out")
    for name in (METRICS, PAGE):
        if (out / name).exists() and not overwrite:
            raise TargetExists(out / name)


def _report(checkpoint: Checkpoint, figures: Figures, answers: Answers, pictures: Pictures) -> Report:
    manifest = checkpoint.manifest
    entry = find(manifest.architecture.name)
    history = checkpoint.folder.root / "history.csv"
    validated = manifest.metrics and manifest.metrics.dataset_fingerprint
    return Report(
        title=f"{manifest.name}: {entry.name} on {len(manifest.labels)} classes",
        intro=f"Checkpoint {checkpoint.folder.id[:12]}, measured on {figures.n} pictures: "
        + (
            "those it was validated on, by which its best epoch and its temperature were chosen."
            if validated == figures.dataset_fingerprint
            else "it was not validated on them."
        ),
        figures=figures,
        mistakes=worst_mistakes(checkpoint.network, entry, manifest.preprocess, answers, pictures),
        splits=[split_of(pictures, manifest.labels)],
        history=read_history(history) if history.is_file() else None,
        recipe=manifest.provenance.recipe,
    )

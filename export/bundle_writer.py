"""Checkpoint → bundle folder: written whole, judged, and only then published."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bundle.folder import open_bundle, record_file, refuse_existing, write_folder, write_manifest
from bundle.manifest import LABELS, Artefact, BundleManifest, Provenance, Refusal, checked_version, model_name
from export.accuracy import Gate
from export.benchmark import Benchmark, Entry, benchmark, latency_of
from export.benchmark_files import write_json
from export.calibration import calibration_pictures
from export.card import write_card, write_report
from export.errors import GateFailed, NothingPublished, OldBundleKept, WorkerDied, without_folders
from export.evaluation import EvaluationSet, evaluation_set
from export.fine_tuning import Budget
from export.golden import write_golden
from export.job import Job
from export.proof import prove
from export.runners import replay_golden
from export.targets import Target, find_targets, left_out
from models.checkpoint import Checkpoint, load_checkpoint
from models.provenance import git_revision, tool_versions
from models.validated import evaluation_pictures

_WORK = ".work"
"""Files wait here, inside the unpublished folder, until they are proven."""


@dataclass(frozen=True)
class Exported:
    """The bundle's id and manifest; what was refused stands in the manifest. untimed: why a file has no latency.

    left_out: why a group went without a target.
    """

    id: str
    manifest: BundleManifest
    untimed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def export(
    run: Path,
    targets: Sequence[str],
    out: Path,
    *,
    data: Path | None = None,
    version: str = "1",
    licence: str | None = None,
    calibration: Path | None = None,
    gate: Gate = Gate(),  # noqa: B008 - frozen
    budget: Budget | None = Budget(),  # noqa: B008 - frozen
    timed: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Write the bundle `out` from the checkpoint `run`, for targets or groups of them.

    What passes its gate is published; what does not stands in the manifest's `refused`. Where nothing passes, or
    something fails while a bundle is to be replaced, nothing is published.
    calibration: training pictures for int8, by default the training split's. budget: for fine-tuning on the training
    split where int8 fails without; None switches it off. timed: measure latency and throughput
    too, for the manifest and the report.
    Raises: UnknownTarget, TargetNeedsExtra, EnvironmentMissing, NoCalibration, FolderError, the errors of the
    evaluation data, TargetExists, and a GateFailed (exit code 1).
    """
    chosen = find_targets(targets)
    name, version = model_name(out), checked_version(version)
    refuse_existing(out, "bundle", overwrite=overwrite)
    checkpoint = load_checkpoint(run)
    pictures = evaluation_pictures(checkpoint.manifest, data)
    ranges = None
    if any(target.calibrated for target in chosen):
        ranges = calibration_pictures(checkpoint.manifest, calibration)
    with (
        write_folder(out, "bundle", overwrite=overwrite) as partial,
        evaluation_set(checkpoint, pictures) as evaluation,
    ):
        job = Job(checkpoint, evaluation, gate, partial / _WORK, ranges, budget)
        job.folder.mkdir()
        artefacts, refused = _prove_all(job, chosen)
        if refused and out.is_dir() and any(out.iterdir()):
            raise OldBundleKept(out, refused)
        found, untimed = _time(job, artefacts) if timed else (None, ())
        artefacts = tuple(_timed(artefact, found) for artefact in artefacts)
        for artefact in artefacts:
            _move(job.folder, partial, artefact)
        shutil.rmtree(job.folder)
        (partial / LABELS).write_text("\n".join(checkpoint.manifest.labels) + "\n", encoding="utf-8")
        manifest = _manifest(partial, checkpoint, artefacts, evaluation, name, version, licence)
        manifest = _with_pages(partial, manifest.model_copy(update={"refused": refused}), found)
        identity = write_manifest(partial, manifest)
        # The proof is of what will be read, not of what was meant to be written.
        replay_golden(open_bundle(partial))
    return Exported(identity, manifest, untimed, tuple(left_out(targets).values()))


def _prove_all(job: Job, targets: Sequence[Target]) -> tuple[tuple[Artefact, ...], tuple[Refusal, ...]]:
    """What passed and what did not. Raises: the one target's GateFailed, or NothingPublished."""
    artefacts, refused, failures = [], [], []
    for target in targets:
        try:
            artefacts.append(prove(job, target))
        except GateFailed as error:
            failures.append(error)
            refused.append(Refusal(target=target.name, reason=without_folders(str(error)), rungs=error.rungs))
    if len(targets) == 1 and failures:
        raise failures[0]
    if not artefacts:
        raise NothingPublished(refused)
    return tuple(artefacts), tuple(refused)


def _move(folder: Path, root: Path, artefact: Artefact) -> None:
    """Everything that was made for the artefact, from the work folder to its place."""
    for record in (artefact, artefact.golden):
        if record is not None:
            (root / record.path).parent.mkdir(exist_ok=True)
            (folder / record.path).replace(root / record.path)


def _without_folders(recipe: dict[str, Any] | None) -> dict[str, Any] | None:
    """The recipe with names in the place of paths: a bundle goes to strangers, who need not know whose disk it was."""
    if recipe is None:
        return None
    return {**recipe, **{key: Path(str(recipe[key])).name for key in ("data", "weights") if key in recipe}}


def _manifest(
    root: Path,
    checkpoint: Checkpoint,
    artefacts: tuple[Artefact, ...],
    evaluation: EvaluationSet,
    name: str,
    version: str,
    licence: str | None,
) -> BundleManifest:
    """The manifest without its pages; the golden files are written here."""
    parent = checkpoint.manifest
    return BundleManifest(
        name=name,
        version=version,
        architecture=parent.architecture,
        labels=parent.labels,
        preprocess=parent.preprocess,
        temperature=parent.temperature,
        metrics=evaluation.metrics(),
        reference_distribution=evaluation.reference_distribution(),
        provenance=Provenance(
            **{
                **parent.provenance.model_dump(),
                "recipe": _without_folders(parent.provenance.recipe),
                "git_revision": git_revision(),
                "parent_manifest_sha256": checkpoint.folder.id,
                "tools": tool_versions("torch", "onnx", "onnxruntime", "pillow", "numpy"),
            }
        ),
        licence=licence or parent.licence,
        artefacts=artefacts,
        golden=write_golden(root, evaluation),
        documents=(record_file(root, LABELS),),
    )


def _with_pages(root: Path, manifest: BundleManifest, found: Benchmark | None) -> BundleManifest:
    """The manifest with the documents that are written from it."""
    pages = [write_card(root, manifest), write_report(root, manifest, found)]
    if found is not None:
        pages.append(write_json(root, found))
    documents = (*manifest.documents, *(record_file(root, page) for page in pages))
    return manifest.model_copy(update={"documents": documents})


def _time(job: Job, artefacts: Sequence[Artefact]) -> tuple[Benchmark | None, tuple[str, ...]]:
    """One thread, small batches, few rounds: `convoy benchmark` measures longer.

    A proven file whose runtime dies of being timed is published without a latency: the second part says why.
    """
    picture = job.folder / "picture.npy"
    np.save(picture, job.evaluation.tensors[0])
    entries = [
        Entry("export", job.folder, one, picture, *((one.accuracy.top1, one.accuracy.n) if one.accuracy else (None, 0)))
        for one in artefacts
        if one.unverified is None
    ]
    untimed: list[str] = []
    while entries:
        try:
            return benchmark(entries, threads=(1,), batches=(1, 8), rounds=3), tuple(untimed)
        except WorkerDied as error:
            untimed.append(str(error))
            entries = [entry for entry in entries if entry.artefact.target != error.target]
    return None, tuple(untimed)


def _timed(artefact: Artefact, found: Benchmark | None) -> Artefact:
    latency = latency_of(found, artefact.target) if found else None
    return artefact.model_copy(update={"latency": latency})

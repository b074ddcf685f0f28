"""Checkpoint → bundle folder: written whole, judged, and only then published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.folder import open_bundle, record_file, refuse_existing, write_folder, write_manifest
from bundle.manifest import (
    LABELS,
    Accuracy,
    Artefact,
    BundleManifest,
    Parity,
    Provenance,
    checked_version,
    model_name,
)
from export.accuracy import MIN_SHARE, accuracy_of
from export.card import write_card, write_report
from export.errors import AccuracyFailed
from export.evaluation import EvaluationSet, evaluation_set
from export.golden import write_golden
from export.parity import compare
from export.runners import open_artefact, replay_golden, run_all
from export.targets import Target, find_targets
from models.checkpoint import Checkpoint, load_checkpoint
from models.provenance import git_revision, tool_versions
from models.validated import evaluation_pictures

_UNPROVEN = Parity(n=1, max_abs_difference=0, tolerance=1e-9, top1_agreement=1, min_top1_agreement=1)
"""Stands in the record that opens the artefact for its own proof; it never reaches a manifest."""


@dataclass(frozen=True)
class Exported:
    """The bundle's id and manifest."""

    id: str
    manifest: BundleManifest


def export(
    run: Path,
    targets: Sequence[str],
    out: Path,
    *,
    data: Path | None = None,
    version: str = "1",
    licence: str | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write the bundle `out` from the checkpoint `run`.

    Raises: UnknownTarget, FolderError, the errors of the evaluation data, TargetExists, and a GateFailed
    (exit code 1) when an artefact does not answer as the checkpoint does; nothing is published then.
    """
    chosen = find_targets(targets)
    name, version = model_name(out), checked_version(version)
    refuse_existing(out, "bundle", overwrite=overwrite)
    checkpoint = load_checkpoint(run)
    pictures = evaluation_pictures(checkpoint.manifest, data)
    with (
        write_folder(out, "bundle", overwrite=overwrite) as partial,
        evaluation_set(checkpoint, pictures) as evaluation,
    ):
        artefacts = tuple(_artefact(partial, checkpoint, target, evaluation) for target in chosen)
        (partial / LABELS).write_text("\n".join(checkpoint.manifest.labels) + "\n", encoding="utf-8")
        manifest = _manifest(partial, checkpoint, artefacts, evaluation, name, version, licence)
        identity = write_manifest(partial, manifest)
        # The proof is of what will be read, not of what was meant to be written.
        replay_golden(open_bundle(partial))
    return Exported(identity, manifest)


def _artefact(root: Path, checkpoint: Checkpoint, target: Target, evaluation: EvaluationSet) -> Artefact:
    """Write one file and prove it on every evaluation picture."""
    target.write(checkpoint, root / target.file)
    unproven = target.describe(root, checkpoint.manifest, _UNPROVEN)
    found = run_all(open_artefact(root, unproven), evaluation.batches())
    parity = compare(target, found, evaluation.reference)
    accuracy: Accuracy | None = None
    if (labels := evaluation.labels) is not None:
        accuracy = accuracy_of(found, evaluation.reference, labels)
        if not accuracy.passed:
            raise AccuracyFailed(target.name, accuracy.top1, accuracy.reference_top1, MIN_SHARE)
    return unproven.model_copy(update={"parity": parity, "accuracy": accuracy})


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
    """The manifest, after the documents that it lists have been written from it."""
    parent = checkpoint.manifest
    manifest = BundleManifest(
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
    pages = (write_card(root, manifest), write_report(root, manifest))
    documents = (*manifest.documents, *(record_file(root, page) for page in pages))
    return manifest.model_copy(update={"documents": documents})

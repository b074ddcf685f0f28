"""A written file → its record in the manifest, after it was run on every evaluation picture in its own runtime."""

from __future__ import annotations

import numpy as np

from bundle.errors import ArtefactInvalid
from bundle.folder import record_file
from bundle.golden import write_array
from bundle.manifest import CLASS_MAP, Accuracy, Artefact, Manifest, Parity, TensorSpec
from export.accuracy import Gate, Labels, accuracy_of, class_losses
from export.errors import AccuracyFailed, ClassLost, GraphInvalid
from export.golden import choose
from export.job import Job, Written
from export.parity import compare
from export.runners import Probabilities, open_artefact, run_all
from export.targets import Target
from models.provenance import tool_versions

UNPROVEN = "not proven yet"
"""Stands in the record that opens the artefact for its own proof; whoever forgets the proof publishes this."""


_LARGEST = float(np.finfo(np.float32).max)


def prove(job: Job, target: Target) -> Artefact:
    """Write one file into the job's folder and prove it. Raises: GateFailed and the writer's errors."""
    artefact = describe(target, job.checkpoint.manifest, job.written(target.name))
    if target.runner is None:
        return artefact.model_copy(update={"unverified": target.unverified})
    try:
        run = open_artefact(job.folder, artefact)
    except ArtefactInvalid as error:
        raise GraphInvalid(target.name, f"its own runtime refuses it: {error}") from error
    found = run_all(run, job.evaluation.batches())
    parity, accuracy = measure(job, target, found)
    golden = None
    if target.precision != "fp32":
        path = f"golden/{target.name}.probabilities.npy"
        write_array(job.folder / path, found[choose(job.evaluation.pictures)])
        golden = record_file(job.folder, path)
    proof = {"parity": parity, "accuracy": accuracy, "golden": golden, "unverified": None}
    return artefact.model_copy(update=proof)


def measure(job: Job, target: Target, found: Probabilities) -> tuple[Parity, Accuracy | None]:
    """The proof of a file that answered `found`; no accuracy without labels. Raises: GateFailed."""
    parity = compare(target, found, job.evaluation.reference)
    accuracy = None
    if (labels := job.evaluation.labels) is not None:
        accuracy = judged(target.name, found, job.evaluation.reference, labels, job.gate, job.checkpoint.manifest)
    return parity, accuracy


def describe(target: Target, manifest: Manifest, written: Written) -> Artefact:
    """The manifest's record of a file that has no proof yet."""
    image, probabilities = tensor_specs(manifest, "N" if target.batch else 1)
    return Artefact(
        **record_file(written.path.parent, written.path.name).model_dump(),
        target=target.name,
        precision=target.precision,
        inputs=written.inputs or (image,),
        outputs=written.outputs or (probabilities, *map_specs(written)),
        unverified=UNPROVEN,
        class_map=written.class_map,
        quantization=written.quantization,
        tools={**tool_versions(*target.tools), **written.tools},
    )


def tensor_specs(manifest: Manifest, batch: int | str) -> tuple[TensorSpec, TensorSpec]:
    """The input and the output of every artefact whose format has no convention of its own."""
    crop, classes = manifest.preprocess.crop, len(manifest.labels)
    return (
        TensorSpec(name="image", dtype="uint8", shape=(batch, crop, crop, 3), layout="NHWC RGB", range=(0, 255)),
        TensorSpec(name="probabilities", dtype="float32", shape=(batch, classes), layout="NK", range=(0, 1)),
    )


def map_specs(written: Written) -> tuple[TensorSpec, ...]:
    """The second output, where the file has one. It is not normalised: each reader divides by what suits it."""
    if written.map_size is None:
        return ()
    return (
        TensorSpec(name=CLASS_MAP, dtype="float32", shape=("N", *written.map_size), layout="NHW", range=(0, _LARGEST)),
    )


def judged(
    target: str, found: Probabilities, reference: Probabilities, labels: Labels, gate: Gate, manifest: Manifest
) -> Accuracy:
    """The accuracy, once it has passed the gate. Raises: AccuracyFailed, ClassLost, each with the figures."""
    accuracy = accuracy_of(found, reference, labels, gate)
    if not gate.allows(accuracy.top1, accuracy.reference_top1):
        raise AccuracyFailed(target, accuracy.top1, accuracy.reference_top1, 1 - gate.max_drop)
    right, reference_right = found.argmax(1) == labels, reference.argmax(1) == labels
    lost, pictures = class_losses(right, reference_right, labels, found.shape[1])
    for worst in gate.failing(lost, pictures):
        raise ClassLost(
            target, manifest.labels[worst], int(lost[worst]), int(np.asarray(pictures)[worst]), gate.max_class_drop
        )
    return accuracy

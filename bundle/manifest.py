"""The records of `manifest.json`: frozen, unknown keys refused, fields checked against each other.

The format is explained, rule by rule, in docs/bundle-format.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from bundle.errors import ArtefactMissing, NameInvalid
from bundle.evidence import Accuracy, Latency, MapParity, Parity, Quantization, Refusal
from bundle.records import NAME, VERSION, Count, FileRecord, Name, Record, RelativePath, Scalar, Sha256, Share, Version

__all__ = [
    "CLASS_MAP",
    "EXPLAIN",
    "LABELS",
    "SCHEMA_VERSION",
    "Accuracy",
    "Architecture",
    "Artefact",
    "BundleManifest",
    "CheckpointManifest",
    "Count",
    "FileRecord",
    "Golden",
    "Latency",
    "Manifest",
    "MapParity",
    "Metrics",
    "Name",
    "Parity",
    "Preprocess",
    "Provenance",
    "Quantization",
    "Record",
    "ReferenceDistribution",
    "Refusal",
    "RelativePath",
    "Scalar",
    "Sha256",
    "Share",
    "TensorSpec",
    "Version",
    "checked_version",
    "label_problem",
    "model_name",
]

SCHEMA_VERSION: Final = 1
LABELS: Final = "labels.txt"
"""One label per line, line number = index: for whoever does not read the manifest."""
CLASS_MAP: Final = "class_map"
"""The name of an artefact's second output, where it has one: where the network saw its answer."""
EXPLAIN: Final = "explain"
"""The name of the input, a bool that may be left out, which asks for the class map: without it the map is empty."""


def model_name(out: Path) -> str:
    """A folder's name, which becomes the model's. Raises: NameInvalid."""
    return _matching(NAME, "the folder name", out.absolute().name)


def checked_version(version: str) -> str:
    """Raises: NameInvalid."""
    return _matching(VERSION, "version", version)


def label_problem(labels: Sequence[str]) -> str | None:
    """What is wrong with the labels, if anything."""
    if len(labels) < 2:
        return f"at least 2 labels are needed, got {len(labels)}"
    for index, label in enumerate(labels):
        if not label.strip() or not label.isprintable():
            return f"label {index} is empty or has a control character: {label!r}"
    return None


def _matching(pattern: str, what: str, value: str) -> str:
    if not re.fullmatch(pattern, value):
        raise NameInvalid(what, value)
    return value


class Preprocess(Record):
    """The only evaluation preprocessing: short side to `resize`, centre `crop` (pixels), then mean and std.

    `mean` and `std` are of RGB values in 0..1 and are applied inside the exported graph.
    """

    resize: Annotated[int, Field(ge=1, le=4096)]
    crop: Annotated[int, Field(ge=1, le=4096)]
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.crop > self.resize:
            raise ValueError(f"crop ({self.crop}) must not be larger than resize ({self.resize})")
        if min(self.std) <= 0:
            raise ValueError(f"every std must be above 0, got {self.std}")
        return self


class Architecture(Record):
    """What rebuilds the network: the registry's name and the arguments it was built with."""

    name: str
    arguments: dict[str, Scalar] = Field(default_factory=dict)


class Metrics(Record):
    """The fp32 model on its evaluation pictures. `per_class_recall` is None for a class without a picture."""

    dataset_fingerprint: Sha256
    split: str
    n: Annotated[int, Field(ge=1)]
    top1: Share
    top5: Share
    macro_f1: Share
    ece: Share
    per_class_recall: tuple[Share | None, ...]


class ReferenceDistribution(Record):
    """What the evaluation pictures looked like to the model; a service compares its traffic to it.

    `class_frequencies`: share of each predicted class, [K]. `confidence_histogram`: share of the top
    probability in 10 equal bins of 0..1.
    """

    class_frequencies: tuple[Share, ...]
    confidence_histogram: tuple[Share, ...]


class Provenance(Record):
    """Where the weights come from. `parent_manifest_sha256` is the checkpoint's id in a bundle."""

    git_revision: str | None = None
    recipe: dict[str, Any] | None = None
    data_fingerprint: Sha256 | None = None
    seed: int | None = None
    weights_source: str | None = None
    weights_sha256: Sha256 | None = None
    parent_manifest_sha256: Sha256 | None = None
    tools: dict[str, str] = Field(default_factory=dict)


class TensorSpec(Record):
    """One input or output. A string in `shape` is a dimension chosen at run time (`N`: the batch)."""

    name: str
    dtype: Literal["uint8", "float32"]
    shape: Annotated[tuple[int | str, ...], Field(min_length=2)]
    layout: str
    range: tuple[float, float]


class Artefact(FileRecord):
    """One exported file, what goes in and out of it, and the proof that it kept the answers.

    `unverified`: why the file could not be run where it was made; it then has no parity and no accuracy.
    `outputs`: the probabilities, and after them the class map where `class_map` proves it.
    `golden`: its own answers for the golden pictures, float32 [golden, K] (.npy); None where PyTorch's are near enough.
    """

    target: Name
    precision: Literal["fp32", "fp16", "int8"]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parity: Parity | None = None
    accuracy: Accuracy | None = None
    class_map: MapParity | None = None
    latency: Latency | None = None
    quantization: Quantization | None = None
    golden: FileRecord | None = None
    unverified: str | None = None
    tools: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_gate(self) -> Self:
        if self.accuracy is not None and not self.accuracy.passed:
            raise ValueError(f"{self.path}: an artefact that failed its accuracy gate is not published")
        if (self.parity is None) != (self.unverified is not None):
            raise ValueError(f"{self.path}: an artefact has its parity, or the reason why it is unverified")
        if self.unverified is not None and (self.accuracy or self.latency or self.golden):
            raise ValueError(f"{self.path}: an unverified artefact has no measured figures")
        return self

    @model_validator(mode="after")
    def _check_class_map(self) -> Self:
        if not self.outputs:
            raise ValueError(f"{self.path}: no output")
        further = self.outputs[1:]
        if [spec.name for spec in further] != [CLASS_MAP] * (self.class_map is not None):
            raise ValueError(f"{self.path}: a second output is {CLASS_MAP!r}, and has its proof in class_map")
        if any(len(spec.shape) != 3 or spec.dtype != "float32" for spec in further):
            raise ValueError(f"{self.path}: {CLASS_MAP} is float32 [N, h, w]")
        return self


class Golden(Record):
    """A picture's original bytes, its uint8 [H, W, 3] tensor (.npy) and its float32 [K] probabilities (.npy)."""

    image: FileRecord
    tensor: FileRecord
    probabilities: FileRecord
    label_index: Annotated[int, Field(ge=0)] | None = None


class Manifest(Record):
    """What a checkpoint and a bundle have in common."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: Name
    version: Version
    architecture: Architecture
    labels: tuple[str, ...]
    preprocess: Preprocess
    temperature: Annotated[float, Field(gt=0)] = 1.0
    metrics: Metrics | None = None
    reference_distribution: ReferenceDistribution | None = None
    provenance: Provenance = Provenance()
    licence: str | None = None

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        if problem := label_problem(self.labels):
            raise ValueError(problem)
        recalls = self.metrics.per_class_recall if self.metrics else self.labels
        frequencies = self.reference_distribution.class_frequencies if self.reference_distribution else self.labels
        for what, found in (("per_class_recall", recalls), ("class_frequencies", frequencies)):
            if len(found) != len(self.labels):
                raise ValueError(f"{what} has {len(found)} entries for {len(self.labels)} labels")
        return self

    def files(self) -> Iterator[FileRecord]:
        """Every file that the manifest answers for."""
        raise TypeError(f"{type(self).__name__} has no files of its own: use a checkpoint or a bundle manifest")


def _refuse_duplicates(files: Iterator[FileRecord]) -> None:
    seen: set[str] = set()
    for file in files:
        folded = file.path.casefold()
        if folded in seen:
            raise ValueError(f"{file.path!r} is listed twice")
        seen.add(folded)


class CheckpointManifest(Manifest):
    """Written by training beside `weights` (safetensors)."""

    kind: Literal["checkpoint"] = "checkpoint"
    weights: FileRecord
    documents: tuple[FileRecord, ...] = ()

    def files(self) -> Iterator[FileRecord]:
        yield self.weights
        yield from self.documents

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        _refuse_duplicates(self.files())
        return self


class BundleManifest(Manifest):
    """Written by export. `documents` are labels.txt, the model card and the report.

    `refused`: targets that were asked for and failed their gate.
    """

    kind: Literal["bundle"] = "bundle"
    artefacts: Annotated[tuple[Artefact, ...], Field(min_length=1)]
    golden: Annotated[tuple[Golden, ...], Field(min_length=1)]
    documents: tuple[FileRecord, ...] = ()
    refused: tuple[Refusal, ...] = ()

    def artefact(self, target: str) -> Artefact:
        """The artefact of a target. Raises: ArtefactMissing."""
        for artefact in self.artefacts:
            if artefact.target == target:
                return artefact
        raise ArtefactMissing(target, [artefact.target for artefact in self.artefacts])

    def files(self) -> Iterator[FileRecord]:
        yield from self.artefacts
        yield from (artefact.golden for artefact in self.artefacts if artefact.golden is not None)
        for golden in self.golden:
            yield from (golden.image, golden.tensor, golden.probabilities)
        yield from self.documents

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        _refuse_duplicates(self.files())
        targets = [artefact.target for artefact in self.artefacts]
        if len(set(targets)) != len(targets):
            raise ValueError(f"an artefact's target is listed twice: {', '.join(targets)}")
        for golden in self.golden:
            if golden.label_index is not None and golden.label_index >= len(self.labels):
                raise ValueError(f"{golden.image.path}: label_index {golden.label_index} has no label")
        return self

    @model_validator(mode="after")
    def _check_documents(self) -> Self:
        if LABELS not in [document.path for document in self.documents]:
            raise ValueError(f"documents: {LABELS} is missing")
        return self

    @model_validator(mode="after")
    def _check_tensors(self) -> Self:
        crop = self.preprocess.crop
        for artefact in self.artefacts:
            answers = artefact.outputs[0]
            if answers.shape[-1] != len(self.labels):
                raise ValueError(f"{artefact.path}: output {list(answers.shape)} for {len(self.labels)} labels")
            for spec in artefact.inputs:
                if crop not in spec.shape:
                    raise ValueError(f"{artefact.path}: input {list(spec.shape)} for a crop of {crop} pixels")
        return self

"""The checkpoint folder: weights, manifest and the documents of the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from bundle.errors import ManifestInvalid
from bundle.folder import MANIFEST, Folder, open_checkpoint, record_file, write_manifest
from bundle.manifest import (
    Architecture,
    CheckpointManifest,
    Metrics,
    Preprocess,
    Provenance,
    ReferenceDistribution,
    Scalar,
)
from models.registry import Entry, build, find
from models.weights import load_strictly, read_state_dict

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint: the network in eval mode and everything that travels with it."""

    folder: Folder[CheckpointManifest]
    network: nn.Module

    @property
    def manifest(self) -> CheckpointManifest:
        return self.folder.manifest


@dataclass(frozen=True)
class Facts:
    """What a writer of checkpoints has to know; the rest follows.

    arguments: those that the network was built with, where they are not the registry's for a fresh one.
    """

    name: str
    labels: tuple[str, ...]
    preprocess: Preprocess
    provenance: Provenance
    arguments: dict[str, Scalar] | None = None
    temperature: float = 1.0
    metrics: Metrics | None = None
    reference_distribution: ReferenceDistribution | None = None


def write_checkpoint(root: Path, entry: Entry, network: nn.Module, facts: Facts) -> str:
    """Write weights and manifest into `root`; files that are already there become its documents.

    Returns the checkpoint's id.
    """
    documents = tuple(record_file(root, path.name) for path in sorted(root.iterdir()) if path.is_file())
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, root / WEIGHTS)
    arguments = entry.arguments if facts.arguments is None else facts.arguments
    manifest = CheckpointManifest(
        name=facts.name,
        version="1",
        architecture=Architecture(name=entry.name, arguments={**arguments, "num_classes": len(facts.labels)}),
        labels=facts.labels,
        preprocess=facts.preprocess,
        temperature=facts.temperature,
        metrics=facts.metrics,
        reference_distribution=facts.reference_distribution,
        provenance=facts.provenance,
        weights=record_file(root, WEIGHTS),
        documents=documents,
    )
    return write_manifest(root, manifest)


def load_checkpoint(root: Path) -> Checkpoint:
    """Open a checkpoint folder and rebuild its network.

    Raises: FolderError, UnknownArchitecture, WeightsMismatch.
    """
    folder = open_checkpoint(root)
    architecture = folder.manifest.architecture
    weights = folder.path(folder.manifest.weights)
    network = _rebuild(folder)
    load_strictly(network, read_state_dict(weights), weights, architecture.name)
    return Checkpoint(folder, network.eval())


def _rebuild(folder: Folder[CheckpointManifest]) -> nn.Module:
    """The network of the manifest. Only arguments that the registry knows reach a builder.

    torchvision's would start a download for `weights`.
    """
    architecture, classes = folder.manifest.architecture, len(folder.manifest.labels)
    entry = find(architecture.name)
    known = entry.published_arguments.keys() | {"num_classes"} | ({"aux_logits"} if entry.auxiliary else set())
    unknown = sorted(architecture.arguments.keys() - known)
    if unknown or architecture.arguments.get("num_classes") != classes:
        what = f"unknown argument {unknown[0]!r}" if unknown else f"num_classes is not the number of labels, {classes}"
        raise ManifestInvalid(folder.root / MANIFEST, f"architecture: {what}")
    return build(architecture.name, **architecture.arguments)  # type: ignore[arg-type]

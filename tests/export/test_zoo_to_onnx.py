"""Every architecture of the zoo as an ONNX file that answers as PyTorch does, at its own input size."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from torch import nn

from bundle.folder import Folder
from bundle.manifest import Architecture, CheckpointManifest, FileRecord, MapParity
from bundle.onnx_session import OnnxSession
from bundle.preprocess import Pixels
from export.deployable import Deployable
from export.errors import GraphTooLarge
from export.job import Written
from export.map_proof import MIN_CORRELATION, TOLERANCE, compare_maps, torch_maps, unproven
from export.proof import describe
from export.targets import TARGETS
from export.to_onnx import MAX_BYTES, write_onnx
from models.blank import build_blank
from models.checkpoint import Checkpoint
from models.registry import entries, find

QUICK = ("lenet5", "alexnet", "resnet18", "squeezenet1_1", "mobilenet_v1_025", "efficientnet_b0", "regnet_y_400mf")
"""Of several families the smallest, in seconds each; tests/models/test_googlenet.py exports two more."""

TOO_LARGE = tuple(name for name, entry in entries().items() if entry.parameters * 4 > MAX_BYTES)
THE_REST = tuple(name for name in entries() if name not in (*QUICK, *TOO_LARGE))


@dataclass(frozen=True)
class Outcome:
    """difference: the largest of any probability. spread: standard deviation of the fresh logits over the classes."""

    difference: float
    agreement: float
    spread: float
    seconds: float
    name: str
    map: MapParity | None


def checkpoint_of(name: str, network: nn.Module, labels: int, root: Path) -> Checkpoint:
    """What the exporter reads of a checkpoint, without writing the weights to disk."""
    manifest = CheckpointManifest(
        name=name.replace("/", "-"),
        version="1",
        architecture=Architecture(name=name),
        labels=tuple(f"class {index}" for index in range(labels)),
        preprocess=find(name).preprocess,
        weights=FileRecord(path="weights.safetensors", sha256="0" * 64, bytes=0),
    )
    return Checkpoint(Folder(root, manifest, "0" * 64), network)


def sharpened(checkpoint: Checkpoint, pictures: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Scale fresh weights' almost equal answers up, so that a difference would show.

    Returns the network's logits afterwards, and their spread before.
    """
    module = Deployable(checkpoint.network, checkpoint.manifest).eval()
    head = checkpoint.network.get_submodule(find(checkpoint.manifest.architecture.name).head)
    with torch.inference_mode():
        logits = module.network(module.normalise(pictures))
        spread = float(logits.std(dim=1).mean())
        for parameter in head.parameters():
            parameter.mul_(3.0 / spread)
    return logits * (3.0 / spread), spread


def parity_of(name: str) -> Outcome:
    """Export with fresh weights and run the same two random pictures through both."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    started = time.monotonic()
    entry = find(name)
    network = entry.build(num_classes=entry.classes, **entry.published_arguments).eval()
    crop = entry.preprocess.crop
    pixels = np.random.default_rng(0).integers(0, 256, (2, crop, crop, 3), dtype=np.uint8)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        checkpoint = checkpoint_of(name, network, entry.classes, path.parent)
        logits, spread = sharpened(checkpoint, torch.from_numpy(pixels))
        reference = torch.softmax(logits, dim=1).numpy()
        write_onnx(checkpoint, path)
        written = unproven(Written(path))
        session = OnnxSession(path, describe(TARGETS["onnx"], checkpoint.manifest, written))
        found = session.run(pixels)
        proof = map_proof(checkpoint, session, pixels)
    agreement = float((found.argmax(1) == reference.argmax(1)).mean())
    difference = float(np.abs(found - reference).max())
    return Outcome(difference, agreement, spread, time.monotonic() - started, name, proof)


def map_proof(checkpoint: Checkpoint, session: OnnxSession, pixels: Pixels) -> MapParity | None:
    """None where there is no map, or another than PyTorch's."""
    if not session.explains:
        return None
    probabilities, maps = session.explain(pixels)
    expected = torch_maps(checkpoint, pixels, probabilities.argmax(axis=1))
    return compare_maps(maps, expected, TOLERANCE["fp32"], MIN_CORRELATION["fp32"])


def check(outcome: Outcome) -> None:
    assert np.isfinite(outcome.spread)
    assert outcome.spread > 0
    assert outcome.difference <= (TARGETS["onnx"].tolerance or 0)
    assert outcome.agreement == 1.0
    # What would cost too much has none: see export/class_map.py.
    assert (outcome.map is None) == (find(outcome.name).family in ("alexnet", "vgg"))


@pytest.mark.parametrize("name", QUICK)
def test_the_smallest_of_each_family(name: str) -> None:
    threads = torch.get_num_threads()
    try:
        check(parity_of(name))
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[str, Outcome]]:
    """All the rest, on two processes: one takes the largest first, the other the smallest, so that never two large
    networks are in memory together.
    """
    by_size = sorted(THE_REST, key=lambda name: find(name).parameters)
    spawn = multiprocessing.get_context("spawn")
    half = sum(find(name).parameters < 24e6 for name in by_size)
    # New processes now and then: what an export leaves behind adds up.
    with spawn.Pool(1, maxtasksperchild=12) as small, spawn.Pool(1, maxtasksperchild=4) as large:
        pending = {
            **{name: small.apply_async(parity_of, (name,)) for name in by_size[:half]},
            **{name: large.apply_async(parity_of, (name,)) for name in reversed(by_size[half:])},
        }
        yield {name: outcome.get() for name, outcome in pending.items()}


@pytest.mark.slow
@pytest.mark.timeout(2400)  # the first of them waits for all
@pytest.mark.parametrize("name", THE_REST)
def test_every_other_architecture(name: str, outcomes: dict[str, Outcome]) -> None:
    check(outcomes[name])


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_no_file_can_hold_is_refused(name: str, tmp_path: Path) -> None:
    entry = find(name)
    checkpoint = checkpoint_of(name, build_blank(entry), entry.classes, tmp_path)
    with pytest.raises(GraphTooLarge, match=r"weights take 2\.58 GB, one file holds 2\.15 GB"):
        write_onnx(checkpoint, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_only_the_largest_regnet_is_too_large() -> None:
    assert TOO_LARGE == ("regnet_y_128gf",)

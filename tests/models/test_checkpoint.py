"""Checkpoints that were changed by hand: refused in one line, never half used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from bundle.errors import ManifestInvalid
from bundle.folder import open_checkpoint, record_file, write_manifest
from models.checkpoint import load_checkpoint
from models.errors import UnknownArchitecture, WeightsMismatch, WeightsUnreadable
from models.pull import pull
from models.registry import build


@pytest.fixture
def run(tmp_path: Path) -> Path:
    save_file(build("lenet5", 3).state_dict(), tmp_path / "lenet.safetensors")
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    pull("lenet5", tmp_path / "run", weights=str(tmp_path / "lenet.safetensors"), labels=tmp_path / "labels.txt")
    return tmp_path / "run"


def rewrite(run: Path, **architecture: Any) -> None:
    manifest = open_checkpoint(run).manifest
    changed = manifest.architecture.model_copy(update=architecture)
    write_manifest(run, manifest.model_copy(update={"architecture": changed}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "num_classes is not the number of labels, 3"),
        ({"num_classes": 4}, "num_classes is not"),
        ({"num_classes": -1}, "num_classes is not"),
        ({"num_classes": 3, "weights": "DEFAULT"}, "unknown argument 'weights'"),
    ],
)
def test_arguments_are_checked_before_a_builder_sees_them(run: Path, arguments: dict[str, Any], message: str) -> None:
    rewrite(run, arguments=arguments)
    with pytest.raises(ManifestInvalid, match=message):
        load_checkpoint(run)


def test_another_architecture_is_found_by_its_weights(run: Path) -> None:
    rewrite(run, name="mobilenet_v2")
    with pytest.raises(WeightsMismatch):
        load_checkpoint(run)
    rewrite(run, name="lenet6")
    with pytest.raises(UnknownArchitecture, match="near: lenet5"):
        load_checkpoint(run)


def test_weights_that_are_none_are_one_line(run: Path) -> None:
    (run / "weights.safetensors").write_bytes(b"\x00" * 40)
    manifest = open_manifest_of(run)
    write_manifest(run, manifest.model_copy(update={"weights": record_file(run, "weights.safetensors")}))
    with pytest.raises(WeightsUnreadable):
        load_checkpoint(run)


def open_manifest_of(run: Path) -> Any:
    from bundle.manifest import CheckpointManifest

    return CheckpointManifest.model_validate_json((run / "manifest.json").read_text())

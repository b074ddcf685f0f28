from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.checkpoint import load_checkpoint
from models.errors import DataNotFound, LabelsMismatch, LabelsMissing, RecipeInvalid
from models.pull import pull
from models.registry import build


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save_file(build("lenet5", 3).state_dict(), tmp_path / "lenet.safetensors")
    return tmp_path / "lenet.safetensors"


def labels_file(folder: Path, *labels: str) -> Path:
    (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    return folder / "labels.txt"


def test_weights_and_labels_become_a_checkpoint(weights: Path, tmp_path: Path) -> None:
    pull("lenet5", tmp_path / "run", weights=str(weights), labels=labels_file(tmp_path, "a", "b", "c"))
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.manifest.labels == ("a", "b", "c")
    assert checkpoint.manifest.provenance.weights_source == "lenet.safetensors"
    assert checkpoint.manifest.metrics is None
    assert not checkpoint.network.training
    torch.testing.assert_close(checkpoint.network.state_dict(), load_checkpoint(tmp_path / "run").network.state_dict())


def test_labels_are_needed_and_counted(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelsMissing, match="3 classes"):
        pull("lenet5", tmp_path / "run", weights=str(weights))
    with pytest.raises(LabelsMismatch, match="2 labels for a network of 3 classes"):
        pull("lenet5", tmp_path / "run", weights=str(weights), labels=labels_file(tmp_path, "a", "b"))
    with pytest.raises(DataNotFound):
        pull("lenet5", tmp_path / "run", weights=str(weights), labels=tmp_path / "none.txt")
    with pytest.raises(RecipeInvalid, match="needs trained weights"):
        pull("lenet5", tmp_path / "run", weights="none")
    assert not (tmp_path / "run").exists()

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import models.features
from bundle.manifest import Preprocess
from models.data import read_training_data
from models.datasets import UNCOUNTED, feature_loader
from models.features import features_of
from models.order import EvaluationOrder, Place
from models.registry import build, find

SPEC = Preprocess(resize=32, crop=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def test_features_are_computed_once_and_kept(colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = build("mobilenet_v3_small", 3).train()
    pictures = read_training_data(colours, validation_share=0.2, seed=0).train
    head = find("mobilenet_v3_small").head
    features = features_of(network, head, SPEC, pictures, tmp_path / "features.npy")
    assert features.shape == (36, 1024)
    assert isinstance(features, np.memmap)
    assert network.training
    with torch.no_grad():
        pixels = torch.from_numpy(next(pictures.batches(SPEC, 4))).permute(0, 3, 1, 2)
        logits = network.eval()((pixels / 255 - 0.5) / 0.5)
        expected = network.get_submodule(head)(torch.from_numpy(features[:4].copy()))
    torch.testing.assert_close(logits, expected)
    monkeypatch.setattr(models.features, "_compute", None)
    again = features_of(network, head, SPEC, pictures, tmp_path / "features.npy")
    assert np.array_equal(features, again)
    assert [path.name for path in tmp_path.iterdir()] == ["features.npy"]


def test_a_whole_batch_of_features_is_taken_at_once() -> None:
    features, labels = np.arange(14, dtype=np.float32).reshape(7, 2), torch.arange(7)
    batches = [list(feature_loader(features, labels, 3, EvaluationOrder(7, Place(rank, 2)))) for rank in range(2)]
    assert [[label.tolist() for _, label in rank] for rank in batches] == [[[0, 2, 4], [6]], [[1, 3, 5], [UNCOUNTED]]]
    assert batches[1][0][0].tolist() == [[2, 3], [6, 7], [10, 11]]

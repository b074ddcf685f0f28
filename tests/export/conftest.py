from __future__ import annotations

from pathlib import Path

import pytest

from export.bundle_writer import export
from models.recipe import resolve_recipe
from models.train import train


@pytest.fixture(scope="session")
def run(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained checkpoint whose mean and std differ by channel, so that swapped channels show.

    Few epochs: a network that is sure of everything would answer the same to swapped channels.
    """
    out = tmp_path_factory.mktemp("runs") / "colours"
    spec = {"resize": 36, "crop": 32, "mean": (0.3, 0.5, 0.6), "std": (0.2, 0.3, 0.5)}
    recipe = resolve_recipe("lenet5", colours, epochs=4, batch_size=8, learning_rate=1e-3, preprocess=spec)
    train(recipe, out)
    return out


@pytest.fixture(scope="session")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported checkpoint. Not to be changed: copy it."""
    out = tmp_path_factory.mktemp("bundles") / "colours"
    export(run, ["onnx"], out)
    return out

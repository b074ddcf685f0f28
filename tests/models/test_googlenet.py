"""Pretrained GoogLeNet and Inception undo ImageNet's mean and std themselves: that must travel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models as torchvision_models
from torchvision.models import WeightsEnum

from bundle.classify import Classifier
from bundle.folder import open_bundle
from bundle.image import decode
from bundle.preprocess import preprocess
from export.bundle_writer import export
from models.checkpoint import load_checkpoint
from models.inference import Normalise
from models.pull import pull
from models.recipe import resolve_recipe
from models.registry import find
from models.train import train
from models.weights import IMAGENET, load_network
from tests.pictures import noise

BUILDERS = {"googlenet": torchvision_models.googlenet, "inception_v3": torchvision_models.inception_v3}


@pytest.fixture(params=BUILDERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def published(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """In the place of the download: a state like torchvision's, with its auxiliary heads, whose answers differ."""
    torch.manual_seed(3)
    network = BUILDERS[name](weights=None, aux_logits=True, init_weights=False).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all that was seen, not a slow drift from 1
    with torch.no_grad():
        # Without statistics nothing of the picture would arrive at the head.
        network(torch.randn(8, 3, 299, 299) * 0.3 + torch.randn(8, 3, 1, 1))
        network.fc.weight.mul_(20)
    state = network.state_dict()
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: dict(state))
    return state


def reference(name: str, state: dict[str, torch.Tensor], *, transform_input: bool = True) -> nn.Module:
    """torchvision's own network with these weights, as `weights=DEFAULT` sets it up."""
    network = BUILDERS[name](weights=None, aux_logits=True, init_weights=False, transform_input=transform_input)
    network.load_state_dict(state)
    return network.eval()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        noise(340 + number, 350, seed=number).save(folder / f"{number}.png")
    return folder


def test_transform_input_survives_checkpoint_reload_and_export(
    name: str, published: dict[str, torch.Tensor], pictures: Path, tmp_path: Path
) -> None:
    pull(name, tmp_path / "run")
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.manifest.architecture.arguments["transform_input"] is True
    assert checkpoint.network.transform_input
    spec = checkpoint.manifest.preprocess
    paths = sorted(pictures.iterdir())
    pixels = torch.from_numpy(np.stack([preprocess(decode(path), spec) for path in paths]))
    inputs = Normalise(spec)(pixels)
    with torch.no_grad():
        expected = reference(name, published)(inputs)
        without = reference(name, published, transform_input=False)(inputs)
        torch.testing.assert_close(checkpoint.network(inputs), expected)
    probabilities = torch.softmax(expected, 1)
    # The switch matters: without it the answers are others.
    assert float((torch.softmax(without, 1) - probabilities).abs().max()) > 1e-2

    export(tmp_path / "run", ["onnx"], tmp_path / "bundle", data=pictures)
    assert open_bundle(tmp_path / "bundle").manifest.architecture == checkpoint.manifest.architecture
    classifier = Classifier(tmp_path / "bundle")
    for path, row in zip(paths, probabilities, strict=True):
        answers = classifier.classify(path, 3)
        for answer in answers:
            assert answer.probability == pytest.approx(float(row[answer.index]), abs=1e-4)
        assert answers[0].index == int(row.argmax())


def test_published_weights_bring_what_they_need(name: str, published: dict[str, torch.Tensor]) -> None:
    loaded = load_network(find(name), IMAGENET)
    assert loaded.arguments == {"aux_logits": name == "inception_v3", "transform_input": True}
    assert loaded.labels is not None
    assert len(loaded.labels) == 1000
    fresh = load_network(find(name), "none")
    assert fresh.arguments == {"aux_logits": True, "transform_input": False}


@pytest.mark.parametrize("auxiliary", [True, False])
def test_files_with_and_without_auxiliary_heads(
    name: str, published: dict[str, torch.Tensor], auxiliary: bool, tmp_path: Path
) -> None:
    state = {key: value for key, value in published.items() if auxiliary or not key.lower().startswith("aux")}
    torch.save(state, tmp_path / "file.pth")
    loaded = load_network(find(name), str(tmp_path / "file.pth"))
    picture = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(loaded.network.eval()(picture), reference(name, published)(picture))


def test_a_trained_network_keeps_its_arguments(
    name: str, published: dict[str, torch.Tensor], colours: Path, tmp_path: Path
) -> None:
    small = find(name).preprocess.model_copy(update={"resize": 80, "crop": 80})
    recipe = resolve_recipe(name, colours, weights=IMAGENET, epochs=1, preprocess=small)
    train(recipe, tmp_path / "run")
    manifest = load_checkpoint(tmp_path / "run").manifest
    assert manifest.architecture.arguments["transform_input"] is True
    assert manifest.architecture.arguments["num_classes"] == 3

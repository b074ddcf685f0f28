from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from bundle.errors import UnsupportedImage
from models.errors import DataNotFound, LabelsMismatch, NotMaps, UnknownArchitecture, UnknownLabel, UnknownLayer
from models.look import Look, Subject, default_layers, first_filters, grad_cam, look, subject_of
from models.looking import PAGE, write_look
from models.paint import filter_sheet, map_sheet, overlay
from models.registry import entries, find
from tests.pictures import noise

# These end with global average pooling and one linear layer: there Grad-CAM is the older class activation map.
AVERAGED = ("resnet18", "mobilenet_v2", "googlenet", "shufflenet_v2_x0_5", "mobilenet_v1_025", "densenet121")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    noise(90, 70, seed=4).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.fixture
def subject() -> Subject:
    torch.manual_seed(0)
    entry = find("lenet5")
    return Subject("lenet5", entry, entry.build().eval(), entry.preprocess, tuple("0123456789"))


def with_statistics(network: nn.Module) -> nn.Module:
    """Fresh networks answer alike everywhere until batch norm has seen something."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 96, 96))
    return network.eval()


@pytest.mark.parametrize("name", AVERAGED)
def test_grad_cam_is_the_class_activation_map_where_pooling_is_global(name: str) -> None:
    """Zhou et al., "Learning Deep Features for Discriminative Localization", 2016: the head's weights on the maps."""
    torch.manual_seed(1)
    entry = find(name)
    arguments = {"aux_logits": False} if name == "googlenet" else entry.arguments
    network = with_statistics(entry.build(num_classes=7, **arguments))
    inputs = torch.randn(1, 3, 96, 96)
    maps: list[torch.Tensor] = []
    handle = network.get_submodule(entry.cam).register_forward_hook(
        lambda _, __, output: maps.append(output.detach().clone())
    )
    with torch.no_grad():
        logits = network(inputs)
    handle.remove()
    features = torch.relu(maps[0]) if name == "densenet121" else maps[0]
    target = int(logits.argmax())
    gate = (maps[0] > 0) if name == "densenet121" else torch.ones_like(maps[0])
    weights = network.get_submodule(entry.head).weight[target].detach()
    torch.testing.assert_close(network.get_submodule(entry.head)(features.mean((2, 3))), logits, rtol=1e-4, atol=1e-4)
    # The mean gradient of a class's logit is its weight, times the share of places that DenseNet's ReLU lets through.
    weighed = (weights * gate.float().mean((2, 3))[0]).view(-1, 1, 1) * maps[0][0]
    expected = torch.relu(weighed.sum(0))
    found = grad_cam(network, entry.cam, inputs, target)
    np.testing.assert_allclose(found, (expected / expected.max()).numpy(), rtol=1e-3, atol=1e-4)
    assert found.max() == 1


@pytest.mark.parametrize("name", [name for name in entries() if entries()[name].parameters < 9e6])
def test_every_small_network_has_a_map_of_several_places(name: str) -> None:
    torch.manual_seed(0)
    entry = find(name)
    network = entry.build(num_classes=3, **entry.arguments)
    pixels = 32 if name == "lenet5" else 96
    heat = grad_cam(network.eval(), entry.cam, torch.randn(1, 3, pixels, pixels), 1)
    assert heat.ndim == 2
    assert min(heat.shape) >= 3
    assert np.isfinite(heat).all()
    assert 0 <= heat.min() <= heat.max() <= 1


def test_a_frozen_network_can_be_looked_into() -> None:
    network = find("lenet5").build().eval().requires_grad_(False)
    assert grad_cam(network, "c3", torch.randn(1, 3, 32, 32), 0).shape == (10, 10)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_maps_are_what_the_layers_answer(subject: Subject, picture: Path) -> None:
    found = look(subject, picture, layers=["c1", "c3"])
    assert [(maps.layer, maps.channels, maps.values.shape) for maps in found.maps] == [
        ("c1", 6, (6, 28, 28)),
        ("c3", 16, (16, 10, 10)),
    ]
    pixels = torch.from_numpy(np.array(found.picture)).permute(2, 0, 1).float() / 255
    with torch.no_grad():
        expected = subject.network.c1(((pixels - 0.5) / 0.5).mean(0, keepdim=True)[None])[0]
    order = list(found.maps[0].indices)
    torch.testing.assert_close(torch.from_numpy(found.maps[0].values), expected[order])
    spreads = found.maps[0].values.reshape(6, -1).std(1)
    assert list(spreads) == sorted(spreads, reverse=True)
    assert sorted(order) == list(range(6))


def test_the_first_filters_are_the_first_convolutions_weights(subject: Subject) -> None:
    name, weights = first_filters(subject.network)
    assert name == "c1"
    np.testing.assert_array_equal(weights, subject.network.c1.weight.detach().numpy())


def test_the_class_to_explain(subject: Subject, picture: Path) -> None:
    best = look(subject, picture)
    assert best.target == best.answers[0].index
    assert look(subject, picture, label="3").target == 3
    with pytest.raises(UnknownLabel, match="'eleven' is not one of the 10 known labels"):
        look(subject, picture, label="eleven")


@pytest.mark.parametrize("name", ["vgg11", "resnet18", "inception_v3", "densenet121", "convnext_tiny"])
def test_default_layers_lead_from_large_maps_to_small(name: str) -> None:
    entry = find(name)
    network = entry.build(num_classes=2, **entry.arguments).eval()
    layers = default_layers(Subject(name, entry, network, entry.preprocess, ("a", "b")))
    assert 4 <= len(layers) <= 9
    assert all(network.get_submodule(layer) is not None for layer in layers)


def test_layers_that_are_not_there(subject: Subject, picture: Path) -> None:
    with pytest.raises(UnknownLayer, match=r"lenet5 has no layer 'c4' \(near: c"):
        look(subject, picture, layers=["c4"])
    with pytest.raises(NotMaps, match="'f6' gives 84, which cannot be drawn"):
        look(subject, picture, layers=["f6"])


def test_pictures_that_are_none(subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="expected an image file"):
        look(subject, tmp_path / "missing.png")
    (tmp_path / "words.png").write_text("no picture")
    with pytest.raises(UnsupportedImage):
        look(subject, tmp_path / "words.png")


def test_sources(tmp_path: Path) -> None:
    assert subject_of("lenet5", "none").labels[3] == "class 3"
    with pytest.raises(UnknownArchitecture):
        subject_of("lenet6", "none")
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    with pytest.raises(LabelsMismatch):
        subject_of("lenet5", "none", tmp_path / "labels.txt")


@pytest.fixture
def found(subject: Subject, picture: Path) -> Look:
    return look(subject, picture)


def test_the_folder_has_every_view_and_a_page_that_needs_nothing_else(found: Look, tmp_path: Path) -> None:
    files = write_look(found, tmp_path / "look")
    assert {*files, "manifest.json"} == {path.name for path in (tmp_path / "look").iterdir()}
    assert {PAGE, "picture.png", "cam.png", "filters.png", "maps_01_c1.png", "maps_02_c3.png"} <= set(files)
    page = (tmp_path / "look" / PAGE).read_text()
    assert page.count("data:image/png;base64,") == len(files) - 1
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    for name in files[1:]:
        with Image.open(tmp_path / "look" / name) as image:
            image.load()
            assert image.mode == "RGB"


def test_sheets_show_every_value() -> None:
    maps = np.zeros((3, 2, 2), dtype=np.float32)
    maps[1, 0, 1] = 5
    sheet = np.asarray(map_sheet(maps))
    assert sheet.shape == (96, 3 * 98 - 2, 3)
    # The one large value is bright, its neighbours dark; a constant map has one colour.
    assert tuple(sheet[10, 98 + 80]) == (253, 231, 37)
    assert tuple(sheet[80, 98 + 10]) == (68, 1, 84)
    assert len(np.unique(sheet[:, :96].reshape(-1, 3), axis=0)) == 1
    assert tuple(sheet[0, 96]) == (128, 128, 128)


def test_filters_keep_their_colours() -> None:
    weights = np.zeros((1, 3, 7, 7), dtype=np.float32)
    weights[0, 0] = 2
    assert tuple(np.asarray(filter_sheet(weights))[0, 0]) == (255, 127, 127)
    grey = np.asarray(filter_sheet(np.ones((2, 5, 3, 3), dtype=np.float32)))
    assert tuple(grey[0, 0]) == (255, 255, 255)


def test_the_overlay_is_brightest_where_the_heat_is() -> None:
    heat = np.zeros((7, 7), dtype=np.float32)
    heat[1, 5] = 1
    image = np.asarray(overlay(Image.new("RGB", (70, 70), (40, 40, 40)), heat), dtype=int).sum(2)
    assert np.unravel_index(image.argmax(), image.shape)[0] // 10 == 1
    assert np.unravel_index(image.argmax(), image.shape)[1] // 10 == 5
    assert image[60, 5] < image[15, 55] / 3


@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v2"])
def test_real_weights_point_at_the_subject(test_data: Path, arch: str) -> None:
    """A drake on water, to the right of the middle: it explains its class, the water along the border does not."""
    subject = subject_of(
        arch, str(test_data / f"weights/{arch}_imagenet.safetensors"), test_data / "imagenet_classes.txt"
    )
    found = look(subject, test_data / "imagenet_sample/n01847000_drake.JPEG")
    assert found.answers[0].label == "drake"
    assert found.heat.shape == (7, 7)
    row, column = np.unravel_index(found.heat.argmax(), (7, 7))
    assert 2 <= row <= 5
    assert 4 <= column <= 5
    border = np.concatenate([found.heat[0], found.heat[-1], found.heat[:, 0], found.heat[:, -1]])
    assert found.heat[2:5, 4:6].mean() > 3 * border.mean()

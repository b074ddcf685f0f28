from __future__ import annotations

import pytest
import torch
from torchvision import models as torchvision_models

from models.blank import build_blank, count_parameters
from models.errors import UnknownArchitecture
from models.published import preprocess_of, published_weights
from models.registry import build, entries, find, register
from models.transfer import head_of

NAMES = tuple(entries())
PRETRAINED = tuple(name for name in NAMES if find(name).torchvision)
NOT_CONVOLUTIONAL = ("maxvit", "swin", "vit")

# Top-1, top-5 and thousand millions of multiply-accumulates as torchvision's table of weights prints them.
ANCHORS = {
    "alexnet": (56.522, 79.066, 0.71),
    "vgg16": (71.592, 90.382, 15.47),
    "googlenet": (69.778, 89.530, 1.50),
    "inception_v3": (77.294, 93.450, 5.71),
    "resnet18": (69.758, 89.078, 1.81),
    "resnet50": (80.858, 95.434, 4.09),
    "resnet152": (82.284, 96.002, 11.51),
    "densenet121": (74.434, 91.972, 2.83),
    "mobilenet_v2": (72.154, 90.822, 0.30),
    "mobilenet_v3_large": (75.274, 92.566, 0.22),
    "efficientnet_b0": (77.692, 93.532, 0.39),
    "efficientnet_b7": (84.122, 96.908, 37.75),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_has_its_published_parameters(name: str) -> None:
    entry = find(name)
    assert count_parameters(build_blank(entry, **entry.pretrained)) == entry.parameters


@pytest.mark.parametrize("name", PRETRAINED)
def test_parameters_and_preprocessing_are_what_torchvision_publishes(name: str) -> None:
    entry = find(name)
    weights = torchvision_models.get_model_weights(name)
    assert entry.parameters == weights.DEFAULT.meta["num_params"]
    assert entry.default_weights is not None
    assert entry.default_weights.name == weights.DEFAULT.name
    assert entry.default_weights.preprocess == preprocess_of(weights.DEFAULT.transforms())


@pytest.mark.parametrize("name", ANCHORS)
def test_published_accuracy(name: str) -> None:
    weights = find(name).default_weights
    assert weights is not None
    assert (weights.top1, weights.top5, round(weights.gmacs, 2)) == ANCHORS[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_takes_its_own_input(name: str) -> None:
    entry = find(name)
    with torch.device("meta"):
        network = build(name, 9).eval()
        crop = entry.preprocess.crop
        assert network(torch.empty(2, 3, crop, crop)).shape == (2, 9)


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_says_where_things_are(name: str) -> None:
    entry = find(name)
    assert entry.family
    assert " et al., " in entry.paper or " and " in entry.paper
    assert 1998 <= entry.year <= 2022
    network = build_blank(entry)
    head_of(network, entry.head)
    for path in entry.auxiliary:
        head_of(network, path)
    parts = [network.get_submodule(part) for part in entry.backbone]
    inside = {id(module) for part in parts for module in part.modules()}
    assert id(network.get_submodule(entry.cam)) in inside
    assert id(network.get_submodule(entry.head)) not in inside


def test_torchvisions_convolutional_classifiers_are_complete() -> None:
    theirs = set(torchvision_models.list_models(module=torchvision_models))
    assert theirs - set(NAMES) == {name for name in theirs if name.startswith(NOT_CONVOLUTIONAL)}
    assert set(PRETRAINED) <= theirs


def test_bare_features_are_no_classification_weights() -> None:
    assert [weights.name for weights in published_weights("vgg16")] == ["IMAGENET1K_V1"]


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="'lenet5' is registered twice"):
        register(find("lenet5"))


def test_an_unknown_name_lists_the_near_ones() -> None:
    with pytest.raises(UnknownArchitecture, match=r"'mobilenetv2' \(near: mobilenet_v2"):
        find("mobilenetv2")
    with pytest.raises(UnknownArchitecture, match="'resnet/18'"):
        find("resnet/18")

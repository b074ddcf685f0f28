"""The class map as forward operators is Grad-CAM by gradients, for every known kind of head; others have none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.class_map import class_map, has_class_map
from export.tape import recording
from models.look import raw_grad_cam
from models.registry import build, find

FEATURES = 6


class Headed(nn.Module):
    """A convolution whose 7x7 maps are looked at, and the head."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, FEATURES, 3, padding=1)
        self.head = head

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(image))
        return logits


class Called(nn.Module):
    """A head of plain calls."""

    def __init__(self, call) -> None:
        super().__init__()
        self.call = call
        self.linear = nn.Linear(FEATURES, 5)

    def forward(self, maps: Tensor) -> Tensor:
        return self.call(self, maps)


class Permute(nn.Module):
    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, maps: Tensor) -> Tensor:
        return maps.permute(*self.dims)


def _head(*parts: nn.Module) -> nn.Module:
    return nn.Sequential(*parts)


def _hidden(activation: nn.Module) -> nn.Module:
    return _head(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(FEATURES, 8), activation, nn.Dropout(), nn.Linear(8, 5)
    )


HEADS = {
    "pool, linear": lambda: _head(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(FEATURES, 5)),
    "mean, linear": lambda: Called(lambda head, maps: head.linear(maps.mean([2, 3]))),
    "mean by name": lambda: Called(lambda head, maps: head.linear(torch.mean(maps, dim=(-1, -2)))),
    "relu in place": lambda: Called(
        lambda head, maps: head.linear(functional.relu(maps, inplace=True).mean((2, 3)))
    ),
    "hidden relu": lambda: _hidden(nn.ReLU(inplace=True)),
    "hidden relu6": lambda: _hidden(nn.ReLU6()),
    "hidden hardswish": lambda: _hidden(nn.Hardswish(inplace=True)),
    "hidden silu": lambda: _hidden(nn.SiLU()),
    "hidden tanh": lambda: _hidden(nn.Tanh()),
    "max pool, flatten": lambda: _head(
        nn.MaxPool2d(3, 2), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * FEATURES, 8), nn.ReLU(),
        nn.Linear(8, 5),
    ),
    "overlapping pool with a border": lambda: _head(
        nn.MaxPool2d(3, 2, padding=1), nn.Flatten(), nn.Linear(16 * FEATURES, 5)
    ),
    "convolution, relu, pool": lambda: _head(
        nn.Dropout(), nn.Conv2d(FEATURES, 5, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ),
    "tanh, average pool, convolution": lambda: _head(
        nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(FEATURES, 9, 3), nn.Tanh(), nn.Flatten(), nn.Linear(9, 5)
    ),
    "average pool first": lambda: _head(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(9 * FEATURES, 5)),
    "layer norm": lambda: _head(
        nn.AdaptiveAvgPool2d(1), Permute(0, 2, 3, 1), nn.LayerNorm(FEATURES), Permute(0, 3, 1, 2), nn.Flatten(),
        nn.Linear(FEATURES, 5),
    ),
}  # fmt: skip

UNKNOWN = {
    "a second way": lambda: Called(lambda head, maps: head.linear(maps.mean([2, 3]) + maps.amax((2, 3)))),
    "no layer of ours": lambda: _hidden(nn.Softplus()),
    "pool after an activation": lambda: _head(
        nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(9 * FEATURES, 5)
    ),
    "a gradient that costs too much": lambda: _head(
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(9 * FEATURES, 40_000), nn.ReLU(), nn.Linear(40_000, 5)
    ),
    "average with a border": lambda: _head(nn.AvgPool2d(3, 2, padding=1), nn.Flatten(), nn.Linear(16 * FEATURES, 5)),
}  # fmt: skip


def pictures(pixels: int = 7) -> Tensor:
    return torch.randn(4, 3, pixels, pixels, generator=torch.Generator().manual_seed(1))


def check(network: nn.Module, layer: str, images: Tensor) -> None:
    assert has_class_map(network, layer, images)
    with torch.no_grad(), recording(network, layer) as tape:
        logits = network(images)
    found = class_map(tape, logits).detach().numpy()
    expected = np.stack(
        [raw_grad_cam(network, layer, one[None], int(row.argmax())) for one, row in zip(images, logits, strict=True)]
    )
    assert expected.max() > 0
    assert np.abs(found - expected).max() <= 1e-4 * expected.max()


@pytest.mark.parametrize("kind", HEADS)
def test_a_known_head_gives_grad_cam(kind: str) -> None:
    torch.manual_seed(0)
    check(Headed(HEADS[kind]()).eval(), "features", pictures())


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_1", "densenet121", "shufflenet_v2_x0_5"])
def test_a_network_of_the_zoo_gives_grad_cam(name: str) -> None:
    torch.manual_seed(0)
    check(build(name, 5).eval(), find(name).cam, pictures(64))


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_head_that_is_not_known_has_no_map(kind: str) -> None:
    assert not has_class_map(Headed(UNKNOWN[kind]()).eval(), "features", pictures())


@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
def test_a_large_head_has_no_map(name: str) -> None:
    assert not has_class_map(build(name, 5).eval(), find(name).cam, pictures(64))


def test_an_architecture_without_a_layer_to_look_at_has_no_map() -> None:
    assert not has_class_map(Headed(HEADS["pool, linear"]()).eval(), "", pictures())


def test_recording_changes_no_answer_and_leaves_no_hook() -> None:
    network = Headed(HEADS["hidden hardswish"]()).eval()
    with torch.no_grad():
        before = network(pictures())
        with recording(network, "features") as tape:
            assert torch.equal(network(pictures()), before)
        seen = list(tape.steps)
        network(pictures())
    assert tape.steps == seen

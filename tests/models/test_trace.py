"""The traced layers against torch's own hooks, torchvision's records, the formula and the gradient."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from models.blank import build_blank, count_parameters
from models.describe import Description, describe, describe_entry, input_pixels, stages
from models.published import Published
from models.reach import Reach, joined
from models.registry import entries, find
from models.trace import trace

NAMES = tuple(entries())
PUBLISHED = [
    pytest.param(name, weights, id=f"{name}-{weights.preprocess.crop}")
    for name in NAMES
    # One per input size: the others differ in training only.
    for weights in {weights.preprocess.crop: weights for weights in find(name).weights}.values()
]


@cache
def described(name: str) -> Description:
    return describe(name)


@pytest.mark.parametrize(("name", "weights"), PUBLISHED)
def test_macs_are_torchvisions_own(name: str, weights: Published) -> None:
    macs = describe(name, pixels=weights.preprocess.crop).macs / 1e9
    # The record has three decimals: of the smallest networks their rounding alone is more than 1 %.
    assert macs == pytest.approx(weights.gmacs, rel=0.01, abs=0.000501)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_belongs_to_one_layer(name: str) -> None:
    found = described(name)
    assert found.parameters + found.auxiliary_parameters == count_parameters(build_blank(find(name)))
    assert found.auxiliary_parameters == {"googlenet": 6_379_984, "inception_v3": 3_326_696}.get(name, 0)
    shares = [found.share(layer) for layer in found.layers]
    assert sum(parameters for parameters, _ in shares) == pytest.approx(1)
    assert sum(macs for _, macs in shares) == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
def test_output_sizes_are_what_a_hook_sees(name: str) -> None:
    entry = find(name)
    network = build_blank(entry)
    seen: list[tuple[str, tuple[int, ...]]] = []
    for path, module in network.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda _, __, output, path=path: seen.append((path, tuple(output.shape[1:]))))
    size = input_pixels(entry)
    with torch.no_grad():
        network(torch.empty(1, 3, size, size, device="meta"))
    modules = {path for path, _ in seen}
    rows = [(layer.name.partition(" ")[0], layer.output) for layer in described(name).inference]
    assert [row for row in rows if row[0] in modules] == seen


@pytest.mark.parametrize("name", NAMES)
def test_convolutions_and_pooling_follow_the_formula(name: str) -> None:
    checked = 0
    for layer in described(name).layers:
        if layer.window is None:
            assert layer.kind != "conv"
            # Pooling without a window takes everything there is.
            assert layer.kind != "pool" or math.prod(layer.output[1:]) == 1
            continue
        for axis in (0, 1):
            w, f, p, s = (
                layer.input[1 + axis],
                layer.window.dilation[axis] * (layer.window.kernel[axis] - 1) + 1,
                layer.window.padding[axis],
                layer.window.stride[axis],
            )
            round_ = math.ceil if layer.window.ceil else math.floor
            assert layer.output[1 + axis] == round_((w - f + 2 * p) / s) + 1, layer
        checked += 1
    assert checked >= 5


def test_only_googlenet_and_squeezenet_round_up() -> None:
    up = {name for name in NAMES if any(layer.window and layer.window.ceil for layer in described(name).layers)}
    assert up == {"googlenet", "squeezenet1_0", "squeezenet1_1"}


# Araujo, Norris, Sim, "Computing Receptive Fields of Convolutional Neural Networks", 2019, table 1; its ResNets have
# the stride on the first 1x1 and differ therefore.
@pytest.mark.parametrize(
    ("name", "field"), [("alexnet", 195), ("vgg16", 212), ("mobilenet_v1", 315), ("inception_v3", 1311)]
)
def test_published_receptive_fields(name: str, field: int) -> None:
    assert described(name).reach.field == (field, field)


class Everywhere(nn.Module):
    """The network with positive weights and averages for maxima: every pixel that can count does."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.double().eval()
        for parameter in network.parameters():
            nn.init.constant_(parameter, 1e-2)
        for path, module in list(network.named_modules()):
            if isinstance(module, nn.MaxPool2d):
                network.set_submodule(path, nn.AvgPool2d(module.kernel_size, module.stride, module.padding))
            elif isinstance(module, nn.BatchNorm2d):
                network.set_submodule(path, nn.Identity())


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("vgg11", ("features.6", "features.13")),
        ("resnet18", ("conv1", "layer1.0.conv2", "layer2.0.conv1", "layer2.1.conv2", "layer3.0.downsample.0")),
        ("mobilenet_v1", ("features.0", "features.15", "features.30")),
        ("squeezenet1_1", ("features.3.expand3x3", "features.7.expand3x3")),
    ],
)
def test_fields_are_where_the_gradient_is_not_zero(name: str, layers: tuple[str, ...]) -> None:
    network = Everywhere(find(name).build(num_classes=2)).network
    rows = {layer.name: layer for layer in described(name).layers}
    picture = torch.ones(1, 3, 224, 224, dtype=torch.float64, requires_grad=True)
    kept: dict[str, Tensor] = {}
    for layer in layers:
        network.get_submodule(layer).register_forward_hook(
            lambda _, __, output, layer=layer: kept.__setitem__(layer, output)
        )
    network(picture)
    for layer in layers:
        middle = kept[layer].shape[-1] // 2
        (gradient,) = torch.autograd.grad(kept[layer][0, 0, middle, middle], picture, retain_graph=True)
        touched = gradient[0].abs().sum(0) > 0
        extent = (int(touched.any(1).sum()), int(touched.any(0).sum()))
        assert extent == rows[layer].field, layer


def test_ways_through_residual_networks() -> None:
    for name, shortest, longest, ways in (("resnet18", 5, 18, 2**8), ("resnet50", 6, 50, 2**16), ("vgg16", 16, 16, 1)):
        reach = described(name).reach
        assert (reach.shortest, reach.longest, reach.paths) == (shortest, longest, ways)


def test_a_gate_that_sees_everything_widens_nothing() -> None:
    near, gate = Reach(field=(9, 9), jump=(4, 4), longest=3, shortest=1, paths=2), Reach(whole=True, longest=5)
    assert joined([near, gate]) == near
    assert joined([gate, gate]).whole


def test_a_parameter_outside_of_layers_is_counted() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, bias=False)
            self.scale = nn.Parameter(torch.ones(4, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv_twice(x)) * self.scale

        def conv_twice(self, x: Tensor) -> Tensor:
            return x.relu()

    found = trace(Scaled().to("meta"), torch.empty(2, 3, 8, 8, device="meta"))
    assert [(layer.name, layer.kind, layer.parameters) for layer in found.layers] == [
        ("relu", "activation", 0),
        ("conv", "conv", 108),
        ("mul", "join", 4),
    ]
    assert found.layers[1].macs == 4 * 6 * 6 * 27


@pytest.mark.parametrize("name", NAMES)
def test_stages_fit_side_by_side_and_hold_every_layer(name: str) -> None:
    found = described(name)
    parts = stages(found)
    assert 3 <= len(parts) <= 32
    assert [layer for stage in parts for layer in stage.layers] == list(found.inference)


def test_another_picture_size_changes_maps_but_no_parameters() -> None:
    large, usual = describe_entry(find("resnet18"), pixels=448), described("resnet18")
    assert large.parameters == usual.parameters
    assert large.layers[0].output == (64, 224, 224)
    assert large.macs == pytest.approx(usual.macs * 4, rel=0.01)

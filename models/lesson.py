"""The idea of each family in two sentences, and the numbers that carry it, counted on the network's own layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from models.amounts import amount, times
from models.counts import (
    bottlenecks,
    convolutions,
    factorised,
    is_depthwise,
    kernel,
    runs_of_3x3,
    separable_pairs,
    standard_macs,
    unfactorised_macs,
    unreduced_macs,
    volume,
)
from models.describe import Description
from models.efficientnet import ALPHA, BETA, GAMMA, scaling_table
from models.layers import Layer
from models.registry import find


@dataclass(frozen=True)
class Lesson:
    """`idea`: two sentences. `figures`: what is counted, and the numbers as text."""

    idea: str
    figures: tuple[tuple[str, str], ...]


def lesson_of(description: Description) -> Lesson | None:
    """The teaching header of the family, or None for a network that belongs to none (timm's)."""
    lesson = _LESSONS.get(description.entry.family)
    return lesson(description) if lesson else None


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}"


def _parameters(layers: list[Layer]) -> int:
    return sum(layer.parameters for layer in layers)


def _of(description: Description, kind: str) -> list[Layer]:
    return [layer for layer in description.inference if layer.kind == kind]


def _lenet(description: Description) -> Lesson:
    first = convolutions(description)[0]
    inputs, outputs = (volume(shape) for shape in (first.input, first.output))
    dense = (inputs + 1) * outputs
    return Lesson(
        "A small filter slides over the whole picture, so every place shares its weights and a shifted digit gives "
        "shifted maps. Subsampling between the convolutions gives up where exactly something was, layer by layer.",
        (
            (f"{first.name} as a convolution, {times(first.input)} → {times(first.output)}", _weights(first)),
            ("the same maps from a dense layer", f"{amount(dense)} parameters, {dense // first.parameters:,} times"),
            *_balance(description),
        ),
    )


def _weights(layer: Layer) -> str:
    return f"{layer.parameters:,} parameters"


def _balance(description: Description) -> tuple[tuple[str, str], ...]:
    """Where the parameters are, and where the work."""
    dense, spatial = _of(description, "linear"), _of(description, "conv")
    parameters, macs = description.parameters, description.macs
    return (
        ("parameters in dense layers", f"{_share(_parameters(dense), parameters)} of {amount(parameters)}"),
        (
            "multiply-accumulates (MACs) in convolutions",
            f"{_share(sum(layer.macs for layer in spatial), macs)} of {amount(macs)}",
        ),
    )


def _alexnet(description: Description) -> Lesson:
    first = convolutions(description)[0]
    size, stride = kernel(first)[0], first.window.stride[0] if first.window else 1
    return Lesson(
        "Deep convolutions, ReLU and dropout on graphics cards won ImageNet 2012 with 15.3 % top-5 error against "
        f"26.2 % for the next. The first layer still looks through large {size}×{size} windows, {stride} pixels "
        "apart, and three dense layers hold nearly all weights.",
        (
            ("first layer", f"{times(first.input)} → {times(first.output)}, {amount(first.macs)} MACs"),
            *_balance(description),
        ),
    )


def _vgg(description: Description) -> Lesson:
    run = max(runs_of_3x3(description), key=len)[:3]
    count, maps = len(run), run[0].input[0]
    wide = 2 * count + 1
    stacked, single = count * 9 * maps * maps, wide * wide * maps * maps
    word = {2: "Two", 3: "Three"}[count]
    return Lesson(
        f"{word} 3×3 convolutions see as much as one of {wide}×{wide}, with fewer weights and {count} ReLUs instead of "
        "one. So VGG uses nothing else, and only grows deeper.",
        (
            (
                f"{count} × 3×3 on {maps} maps",
                f"{amount(stacked)} weights ({count} · 9 · {maps}²), field {wide}×{wide}",
            ),
            (
                f"one {wide}×{wide} on {maps} maps",
                f"{amount(single)} weights ({wide * wide} · {maps}²), the same field",
            ),
            ("saved", _share(single - stacked, single)),
            *_balance(description),
        ),
    )


def _googlenet(description: Description) -> Lesson:
    pairs = bottlenecks(description)
    first, second = pairs[0]
    return Lesson(
        "Every module looks with 1×1, 3×3 and larger filters at once and puts the maps side by side. A 1×1 bottleneck "
        "before each large filter narrows the maps first, which makes that affordable; two auxiliary heads help "
        "training only.",
        (
            (f"{second.name} on all {first.input[0]} maps", amount(unreduced_macs(first, second))),
            (f"with {first.output[0]} maps from the 1×1 before it", amount(first.macs + second.macs)),
            *_saved(pairs),
            ("auxiliary heads, in training", f"{amount(description.auxiliary_parameters)} parameters more"),
        ),
    )


def _saved(pairs: list[tuple[Layer, Layer]]) -> tuple[tuple[str, str], ...]:
    with_, without = sum(a.macs + b.macs for a, b in pairs), sum(unreduced_macs(a, b) for a, b in pairs)
    return (
        (
            f"all {len(pairs)} bottlenecks, MACs",
            f"{amount(with_)} instead of {amount(without)}: {_share(without - with_, without)} saved",
        ),
    )


def _inception(description: Description) -> Lesson:
    pairs = factorised(description)
    split, whole = sum(a.macs + b.macs for a, b in pairs), sum(unfactorised_macs(a, b) for a, b in pairs)
    return Lesson(
        "Large filters are factorised: a 7×7 becomes a row of 7 and a column of 7 behind it, a 5×5 becomes two 3×3."
        " What is saved goes into more maps and a larger picture.",
        (
            (f"one 7×7 instead of each of {len(pairs)} pairs", f"{amount(whole)} MACs"),
            ("the pairs 1×7 and 7×1", f"{amount(split)}: {_share(whole - split, whole)} saved"),
            ("auxiliary head, in training", f"{amount(description.auxiliary_parameters)} parameters more"),
        ),
    )


def _resnet(description: Description) -> Lesson:
    reach = description.reach
    joins = [layer for layer in description.inference if layer.type == "add"]
    projections = [layer for layer in convolutions(description) if ".downsample." in layer.name]
    cost = _parameters(projections) / description.parameters
    return Lesson(
        "Each block adds its answer to its input, so it only has to learn the difference, and the gradient has a way "
        "past it. Plain stacks got worse from 18 to 34 layers (27.94 → 28.54 % top-1 error in the paper), residual "
        "ones better (27.88 → 25.03 %).",
        (
            ("without the skips: layers between picture and answer", f"{reach.longest}, on one way only"),
            ("with them", f"{reach.shortest} to {reach.longest} layers, on {_ways(reach.paths)} ways"),
            (
                f"what {len(joins)} skips cost",
                f"{amount(sum(volume(layer.output) for layer in joins))} additions; {len(projections)} projections "
                f"hold {cost:.1%} of the parameters",
            ),
        ),
    )


def _ways(paths: int) -> str:
    power = paths.bit_length() - 1
    return f"2^{power} = {paths:,}" if paths == 1 << power else amount(paths)


def _densenet(description: Description) -> Lesson:
    dense = [layer for layer in convolutions(description) if ".denselayer" in layer.name]
    wide = [layer for layer in dense if kernel(layer) == (3, 3)]
    narrow = [layer for layer in dense if kernel(layer) == (1, 1)]
    growth, last = wide[-1].output[0], narrow[-1]
    blocks: dict[str, int] = {}
    for layer in wide:
        block = layer.name.partition(".denselayer")[0]
        blocks[block] = blocks.get(block, 0) + 1
    connections = sum(count * (count + 1) // 2 for count in blocks.values())
    return Lesson(
        f"Every layer reads the maps of all layers before it in its block and adds only {growth} of its own. Nothing "
        "has to be learnt twice, so the layers stay narrow and the parameters few.",
        (
            ("last layer of the last block", f"reads {last.input[0]} maps, adds {growth}"),
            (f"connections between {len(wide)} layers", f"{connections:,}, against {len(wide)} in a plain stack"),
            (
                "ways from the picture to the answer",
                f"{description.reach.shortest} to {description.reach.longest} layers, {_ways(description.reach.paths)}",
            ),
        ),
    )


def _mobilenet(description: Description) -> Lesson:
    return Lesson(
        "An ordinary convolution filters and mixes at once; here a depthwise one filters each map alone and a 1×1 "
        "mixes them. That costs 1/N + 1/k² of the work, with N maps and kernel k: about a ninth for 3×3.",
        _separable(description),
    )


def _separable(description: Description) -> tuple[tuple[str, str], ...]:
    pairs = separable_pairs(description)
    split = sum(first.macs + second.macs for first, second in pairs)
    whole = sum(standard_macs(first, second) for first, second in pairs)
    first, second = pairs[len(pairs) // 2]
    size = kernel(first)[0]
    return (
        (
            f"{first.name} + 1×1: {size}×{size} on {first.output[0]} maps → {second.output[0]}",
            f"{amount(first.macs + second.macs)} instead of {amount(standard_macs(first, second))} MACs",
        ),
        (
            f"all {len(pairs)} depthwise-separable pairs",
            f"{amount(split)} instead of {amount(whole)}: {whole / split:.1f} times less",
        ),
    )


def _efficientnet(description: Description) -> Lesson:
    if "_v2_" in description.entry.name:
        return _efficientnet_v2(description)
    rows = tuple(
        (
            f"φ = {row.phi:g}",
            f"depth {row.depth:.3f}, width {row.width:.3f}, resolution {row.resolution:.1f}, cost {row.cost:.1f}",
        )
        for row in scaling_table()
    )
    return Lesson(
        f"Depth, width and resolution grow together, by one number φ: α^φ, β^φ, γ^φ with α = {ALPHA}, β = {BETA}, "
        f"γ = {GAMMA}. Since α·β²·γ² = {ALPHA * BETA**2 * GAMMA**2:.3f} ≈ 2, every step of φ doubles the cost.",
        (*rows, *_separable(description)),
    )


def _efficientnet_v2(description: Description) -> Lesson:
    fused = [layer for layer in convolutions(description) if kernel(layer) == (3, 3) and layer.groups == 1]
    return Lesson(
        "Depthwise convolutions save arithmetic, but keep today's processors waiting for memory. The early stages, "
        "with large maps, therefore fuse the 3×3 depthwise and the 1×1 before it into one ordinary 3×3.",
        (
            (
                f"{len(fused)} ordinary 3×3 convolutions",
                f"{_share(sum(layer.macs for layer in fused), description.macs)} of the MACs, "
                f"{_share(_parameters(fused), description.parameters)} of the parameters",
            ),
            *_separable(description),
        ),
    )


def _squeezenet(description: Description) -> Lesson:
    alexnet = find("alexnet").parameters
    return Lesson(
        "A fire module squeezes its input to few maps with 1×1 filters before it expands them with 1×1 and 3×3. "
        "There is no dense layer: a 1×1 convolution makes one map per class, and their averages are the answer.",
        (
            *_saved(bottlenecks(description)),
            (
                "parameters",
                f"{amount(description.parameters)}, AlexNet has {alexnet / description.parameters:.0f} times",
            ),
        ),
    )


def _grouped(description: Description) -> tuple[tuple[str, str], ...]:
    layers = [layer for layer in convolutions(description) if layer.groups > 1]
    actual = sum(layer.macs for layer in layers)
    full = sum(layer.macs * layer.groups for layer in layers)
    return (
        (
            f"{len(layers)} grouped convolutions",
            f"{amount(actual)} MACs instead of {amount(full)} without groups",
        ),
    )


def _resnext(description: Description) -> Lesson:
    groups = max(layer.groups for layer in convolutions(description))
    return Lesson(
        f"Each 3×3 convolution is split into {groups} groups that do not see one another: {groups} narrow ways in "
        "parallel. For the same cost the maps can be wider, which paid more than depth did.",
        (*_grouped(description), *_resnet(description).figures),
    )


def _wide_resnet(description: Description) -> Lesson:
    inner = [layer for layer in convolutions(description) if kernel(layer) == (3, 3)]
    return Lesson(
        "The 3×3 convolutions of ResNet's blocks have twice the maps; the skips stay as they are. Wide layers keep a "
        "graphics card busier than many thin ones after another.",
        (
            (
                f"{len(inner)} convolutions of 3×3",
                f"{_share(sum(layer.macs for layer in inner), description.macs)} of the MACs, "
                f"up to {max(layer.output[0] for layer in inner):,} maps",
            ),
            *_resnet(description).figures,
        ),
    )


def _regnet(description: Description) -> Lesson:
    joins = [layer for layer in description.inference if layer.type == "add"]
    widths: dict[int, int] = {}
    for layer in joins:
        widths[layer.output[0]] = widths.get(layer.output[0], 0) + 1
    text = ", ".join(f"{count} × {width}" for width, count in widths.items())
    return Lesson(
        "Not one network but a rule for good ones: widths that grow linearly from block to block, rounded to a few "
        "stages, fitted on thousands of trained networks. X has plain residual blocks, Y adds squeeze-and-excitation.",
        (("blocks × maps", text), *_grouped(description)),
    )


def _shufflenet(description: Description) -> Lesson:
    return Lesson(
        "Half of the maps pass each unit untouched, the other half through a depthwise-separable branch, and a shuffle "
        "mixes the halves for the next. Equal widths and few branches keep memory traffic low, which counts as much "
        "as arithmetic.",
        _separable(description),
    )


def _convnext(description: Description) -> Lesson:
    depthwise = [layer for layer in convolutions(description) if is_depthwise(layer)]
    size = kernel(depthwise[0])[0]
    actual, full = sum(layer.macs for layer in depthwise), sum(layer.macs * layer.groups for layer in depthwise)
    return Lesson(
        f"A ResNet brought up to date with what made vision transformers strong: {size}×{size} depthwise convolutions, "
        "layer norm, GELU, fewer activations. The wide mixing is done by dense layers at every place of the map.",
        (
            (
                f"{len(depthwise)} depthwise {size}×{size}",
                f"{amount(actual)} MACs, {_share(actual, description.macs)} of all; "
                f"ordinary ones would take {amount(full)}",
            ),
            *_balance(description),
        ),
    )


_LESSONS: dict[str, Callable[[Description], Lesson]] = {
    "lenet": _lenet,
    "alexnet": _alexnet,
    "vgg": _vgg,
    "googlenet": _googlenet,
    "inception": _inception,
    "resnet": _resnet,
    "densenet": _densenet,
    "mobilenet": _mobilenet,
    "mnasnet": _mobilenet,
    "efficientnet": _efficientnet,
    "squeezenet": _squeezenet,
    "resnext": _resnext,
    "wide_resnet": _wide_resnet,
    "regnet": _regnet,
    "shufflenet": _shufflenet,
    "convnext": _convnext,
}

"""What the lessons count on a network's own layers: the parts that a family is known for, and what they replace."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from models.describe import Description
from models.layers import Layer


def convolutions(description: Description) -> list[Layer]:
    """The convolutions that run when the network answers, in order."""
    return [layer for layer in description.inference if layer.kind == "conv"]


def is_depthwise(layer: Layer) -> bool:
    """One filter per map: as many groups as maps."""
    return layer.kind == "conv" and layer.groups > 1 and layer.groups == layer.input[0]


def separable_pairs(description: Description) -> list[tuple[Layer, Layer]]:
    """Each depthwise convolution with the 1x1 convolution that follows it (squeeze-and-excitation left out)."""
    plain = [layer for layer in convolutions(description) if not _is_gate(layer)]
    return [(first, second) for first, second in pairwise(plain) if is_depthwise(first) and kernel(second) == (1, 1)]


def standard_macs(depthwise: Layer, pointwise: Layer) -> int:
    """What one ordinary convolution with the same kernel, maps and output size as the pair would multiply."""
    return depthwise.macs * pointwise.output[0]


def bottlenecks(description: Description) -> list[tuple[Layer, Layer]]:
    """Each 1x1 convolution that narrows the maps, with the larger convolution that works on fewer maps for it."""
    found: list[tuple[Layer, Layer]] = []
    narrow: Layer | None = None
    for layer in convolutions(description):
        if kernel(layer) == (1, 1):
            # SqueezeNet's first expansion reads the same narrow maps as the 3x3 beside it.
            if narrow is None or layer.input != narrow.output or layer.output[0] < layer.input[0]:
                narrow = layer if layer.output[0] < layer.input[0] else None
        elif narrow is not None and layer.input == narrow.output:
            found.append((narrow, layer))
            narrow = None
    return found


def unreduced_macs(narrow: Layer, wide: Layer) -> int:
    """What the larger convolution would multiply on the maps that the 1x1 convolution narrowed."""
    return wide.macs * narrow.input[0] // wide.input[0]


def factorised(description: Description) -> list[tuple[Layer, Layer]]:
    """A 1x7 convolution with the 7x1 behind it, or the other way round; no layer in two pairs.

    Not the 1x3 and 3x1 of Inception's last modules, which stand side by side.
    """
    found: list[tuple[Layer, Layer]] = []
    before: Layer | None = None
    for layer in convolutions(description):
        crossed = before is not None and kernel(layer) == kernel(before)[::-1] and layer.input == before.output
        if before is not None and crossed and set(kernel(layer)) == {1, 7}:
            found.append((before, layer))
            before = None
        else:
            before = layer
    return found


def unfactorised_macs(first: Layer, second: Layer) -> int:
    """What one square filter with the first's input maps and the second's output maps would multiply."""
    return volume(second.output) * first.input[0] * max(kernel(first)) ** 2


def runs_of_3x3(description: Description) -> Iterator[list[Layer]]:
    """Growing runs of 3x3 convolutions one after the other, each from C to C maps, without pooling between."""
    run: list[Layer] = []
    for layer in convolutions(description):
        same = kernel(layer) == (3, 3) and layer.input[0] == layer.output[0]
        if not same or (run and layer.input != run[-1].output):
            run = []
        if same:
            run = [*run, layer]
            yield run


def volume(shape: tuple[int, ...]) -> int:
    """How many values a tensor of this shape has."""
    return math.prod(shape)


def kernel(layer: Layer) -> tuple[int, int]:
    """Of a convolution. Raises: ValueError for a layer without a window."""
    if layer.window is None:
        raise ValueError(f"{layer.name} has no window")
    return layer.window.kernel


def _is_gate(layer: Layer) -> bool:
    return layer.output[-2:] == (1, 1)

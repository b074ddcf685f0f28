"""The first convolution of an int8 ONNX file on squares of 2 x 2 pixels, where it takes every other pixel.

onnxruntime's integer convolution gathers what a kernel sees position by position, of a picture three bytes at a time:
most of the time of a first layer, which was a seventh of MobileNetV2's. With each square as one pixel of twelve
channels, a kernel of 3 x 3 gathers four times twelve bytes, not nine times three. The products are the same integers,
with zeros among them, so their sum is the same to the bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from export.onnx_rows import forget_shape, users, way

CHANNELS = 3
SQUARE = 4 * CHANNELS
_AROUND = (("QuantizeLinear",), ("DequantizeLinear",), ("Conv",), ("QuantizeLinear", "Relu", "Clip"))
"""What follows the normalisation where the convolution becomes one of integers."""


class Stem(NamedTuple):
    """The nodes from the picture to its first convolution, and the constants that change with it."""

    nodes: list[onnx.NodeProto]
    conv: onnx.NodeProto
    pads: tuple[int, int]
    kernel: onnx.TensorProto
    normalisation: list[onnx.TensorProto]


def square_stem(model: onnx.ModelProto) -> bool:
    """Let the first convolution see squares, if it is an integer one of stride 2 on an even side; whether it did.

    `model` has the normalisation's constants as whole rows, see `export.onnx_rows`.
    """
    graph = model.graph
    height, width = (size.dim_value for size in graph.input[0].type.tensor_type.shape.dim[1:3])
    stem = _stem(graph)
    if stem is None or not all(_halves(side, stem, axis) for axis, side in enumerate((height, width))):
        return False
    for tensor in stem.normalisation:
        row = np.tile(numpy_helper.to_array(tensor)[:, :, :, : width // 2], (1, 4, 1, 1))
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(row), tensor.name))
    _square_kernel(stem)
    _square_picture(graph, stem.nodes[0], height, width)
    for name in [output for node in stem.nodes for output in node.output] + list(stem.conv.input):
        forget_shape(graph, name)
    for tensor in (stem.kernel, *stem.normalisation):
        forget_shape(graph, tensor.name)
    return True


def _stem(graph: onnx.GraphProto) -> Stem | None:
    """None where anything is not as the quantizer leaves it for an integer convolution."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes = way(graph)
    for kinds in _AROUND:
        following = users(graph, nodes[-1].output[0]) if nodes else []
        if len(following) != 1 or following[0].op_type not in kinds:
            return None
        nodes += following
    conv = nodes[-2]
    kernel = _kernel(graph, conv, constants)
    rows = [constants[name] for node in nodes[:-2] for name in node.input if name in constants]
    rows = [row for row in rows if row.dims]
    if nodes[0].op_type != "Transpose" or kernel is None or not all(_is_row(graph, row) for row in rows):
        return None
    known = {*constants, *(output for node in nodes for output in node.output), graph.input[0].name}
    pads = _pads(conv)
    if pads is None or any(name and name not in known for node in nodes[:-2] for name in node.input):
        return None
    return Stem(nodes[:-2], conv, pads, kernel, rows)


def _kernel(
    graph: onnx.GraphProto, conv: onnx.NodeProto, constants: dict[str, onnx.TensorProto]
) -> onnx.TensorProto | None:
    """The integers [O, 3, h, w] behind the convolution's weights, if their zero is 0 and nobody else reads them."""
    maker = next((node for node in graph.node if conv.input[1] in node.output), None)
    if maker is None or maker.op_type != "DequantizeLinear" or len(users(graph, conv.input[1])) > 1:
        return None
    kernel, zero = constants.get(maker.input[0]), constants.get(maker.input[2]) if len(maker.input) > 2 else None
    if kernel is None or zero is None or numpy_helper.to_array(zero).any() or len(users(graph, kernel.name)) > 1:
        return None
    return kernel if kernel.dims[1] == CHANNELS else None


def _is_row(graph: onnx.GraphProto, tensor: onnx.TensorProto) -> bool:
    width = graph.input[0].type.tensor_type.shape.dim[2].dim_value
    return list(tensor.dims) == [1, CHANNELS, 1, width] and len(users(graph, tensor.name)) == 1


def _pads(conv: onnx.NodeProto) -> tuple[int, int] | None:
    """Above and to the left; None of a convolution that is not a plain one of stride 2 on RGB."""
    settings = {attribute.name: helper.get_attribute_value(attribute) for attribute in conv.attribute}
    pads = list(settings.get("pads", [0, 0, 0, 0]))
    plain = (
        settings.get("auto_pad", b"NOTSET") == b"NOTSET"
        and settings.get("group", 1) == 1
        and list(settings.get("dilations", [1, 1])) == [1, 1]
        and list(settings.get("strides", [1, 1])) == [2, 2]
    )
    return (pads[0], pads[1]) if plain and pads[:2] == pads[2:] else None


def _halves(side: int, stem: Stem, axis: int) -> bool:
    """Whether as many pixels come out as there are squares."""
    return side % 2 == 0 and (side + 2 * stem.pads[axis] - stem.kernel.dims[2 + axis]) // 2 + 1 == side // 2


def _square_kernel(stem: Stem) -> None:
    """The kernel [O, 3, h, w] as [O, 12, squares down, squares across], with zeros where a square reaches out of it."""
    before = numpy_helper.to_array(stem.kernel)
    reach = [_squares(size, pad) for size, pad in zip(before.shape[2:], stem.pads, strict=True)]
    (up, down), (left, right) = reach
    after: NDArray[np.generic] = np.zeros((len(before), 2, 2, CHANNELS, up + down + 1, left + right + 1), before.dtype)
    for y in range(before.shape[2]):
        row, odd_row = divmod(y - stem.pads[0], 2)
        for x in range(before.shape[3]):
            column, odd_column = divmod(x - stem.pads[1], 2)
            after[:, odd_row, odd_column, :, up + row, left + column] = before[:, :, y, x]
    after = after.reshape(len(before), SQUARE, up + down + 1, left + right + 1)
    stem.kernel.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(after), stem.kernel.name))
    kept = [each for each in stem.conv.attribute if each.name not in ("kernel_shape", "strides", "pads")]
    del stem.conv.attribute[:]
    stem.conv.attribute.extend(kept)
    stem.conv.attribute.append(helper.make_attribute("kernel_shape", after.shape[2:]))
    stem.conv.attribute.append(helper.make_attribute("strides", [1, 1]))
    stem.conv.attribute.append(helper.make_attribute("pads", [up, left, down, right]))


def _squares(size: int, pad: int) -> tuple[int, int]:
    """How many squares a kernel reaches before and behind the one that its middle lies in."""
    return -(-pad // 2), (size - 1 - pad) // 2


def _square_picture(graph: onnx.GraphProto, transpose: onnx.NodeProto, height: int, width: int) -> None:
    """uint8 [N, H, W, 3] → [N, H/2, W/2, 12], before the transpose: every pair of rows side by side.

    A transpose of six bytes at a time took two thirds of what the convolution won; this takes a fifth.
    """
    shapes = {"squares.pairs": [0, height // 2, 2, width * CHANNELS], "squares.row": [0, height // 2, width // 2, 6]}
    graph.initializer.extend(numpy_helper.from_array(np.array(shape, np.int64), name) for name, shape in shapes.items())
    nodes = [
        helper.make_node("Reshape", [transpose.input[0], "squares.pairs"], ["squares.paired"]),
        helper.make_node("Split", ["squares.paired"], ["squares.even", "squares.odd"], axis=2, num_outputs=2),
        helper.make_node("Reshape", ["squares.even", "squares.row"], ["squares.upper"]),
        helper.make_node("Reshape", ["squares.odd", "squares.row"], ["squares.lower"]),
        helper.make_node("Concat", ["squares.upper", "squares.lower"], ["squares"], axis=3),
    ]
    place = list(graph.node).index(transpose)
    transpose.input[0] = "squares"
    for offset, node in enumerate(nodes):
        graph.node.insert(place + offset, node)

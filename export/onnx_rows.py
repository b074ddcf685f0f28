"""The normalisation's constants of an int8 ONNX file as whole rows of pixels.

onnxruntime's integer convolutions want channels last, and its optimiser moves the transpose behind the normalisation
to get there. Mean and standard deviation are then added to three neighbours at a time, which took a quarter of
MobileNetV2's time; a row of them is added at once. The arithmetic of every pixel stays the same to the bit.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

_ON_THE_WAY = {"Transpose", "Cast", "Div", "Mul", "Sub", "Add"}
"""From the pixels to the first quantized tensor."""


def spread_normalisation(model: onnx.ModelProto) -> int:
    """Turn the constants [1, C, 1, 1] between the input uint8 [N, H, W, C] and its first other use into [1, C, 1, W].

    Returns how many; a constant that is used elsewhere too stays as it is.
    """
    graph = model.graph
    width = graph.input[0].type.tensor_type.shape.dim[2].dim_value
    constants = {tensor.name: tensor for tensor in graph.initializer}
    spread = 0
    for node in way(graph):
        for name in node.input:
            tensor = constants.get(name)
            if tensor is None or list(tensor.dims[2:]) != [1, 1] or len(users(graph, name)) > 1:
                continue
            values = numpy_helper.to_array(tensor)
            row = np.broadcast_to(values, (*values.shape[:3], width))
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(row), name))
            forget_shape(graph, name)
            spread += 1
    return spread


def way(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that work on the pixels alone, one after the other."""
    nodes: list[onnx.NodeProto] = []
    # The picture's shape says how many there are: that is not of the way, and stays as it is.
    following = [node for node in users(graph, graph.input[0].name) if node.op_type != "Shape"]
    while len(following) == 1 and following[0].op_type in _ON_THE_WAY:
        nodes.append(following[0])
        following = users(graph, following[0].output[0])
    return nodes


def forget_shape(graph: onnx.GraphProto, name: str) -> None:
    """The exporter notes the shapes of constants beside them, and the checker compares."""
    for index, value in enumerate(graph.value_info):
        if value.name == name:
            del graph.value_info[index]
            return


def users(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    """The nodes that read it."""
    return [node for node in graph.node if name in node.input]

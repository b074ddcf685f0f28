"""Taking the class map's part out of an ONNX graph, and putting it onto a converted one.

Quantizers and converters see the graph without it: their ranges, counts and sizes stay those of the classifier, and
the map's own arithmetic stays float32. Afterwards it reads what the converted graph computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from bundle.manifest import CLASS_MAP


@dataclass(frozen=True)
class MapPart:
    """Nodes and constants that only the map needs, the output, and the names that it reads from the classifier."""

    nodes: tuple[onnx.NodeProto, ...]
    constants: tuple[onnx.TensorProto, ...]
    output: onnx.ValueInfoProto
    reads: tuple[str, ...]


def take_map(model: onnx.ModelProto) -> MapPart | None:
    """Take the map's part out of `model`; None where it has none."""
    graph = model.graph
    output = next((value for value in graph.output if value.name == CLASS_MAP), None)
    if output is None:
        return None
    needed = {value.name for value in graph.output if value.name != CLASS_MAP}
    mine: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
        else:
            mine.insert(0, node)
    constants = tuple(tensor for tensor in graph.initializer if tensor.name not in needed)
    own = {name for node in mine for name in node.output} | {tensor.name for tensor in constants}
    reads = tuple(dict.fromkeys(name for node in mine for name in node.input if name and name not in own))
    part = MapPart(tuple(mine), constants, output, reads)
    for node in part.nodes:
        graph.node.remove(node)
    for tensor in part.constants:
        graph.initializer.remove(tensor)
    for value in [value for value in graph.value_info if value.name in own]:
        graph.value_info.remove(value)
    graph.output.remove(output)
    return part


def put_map(model: onnx.ModelProto, part: MapPart) -> bool:
    """Put the part onto a converted graph; False, and nothing changed, where something that it reads is gone.

    It reads dequantized integers, which is what the classifier goes on with, and half precision cast to float32.
    """
    graph = model.graph
    there = {name for node in graph.node for name in node.output} | {tensor.name for tensor in graph.initializer}
    names = {name: _converted(graph, name) for name in part.reads}
    if not there.issuperset(names.values()):
        return False
    half = _half(model)
    for name, source in names.items():
        if source in half:
            names[name] = f"{name}_as_float"
            graph.node.append(helper.make_node("Cast", [source], [names[name]], to=TensorProto.FLOAT))
    for node in part.nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [names.get(name, name) for name in node.input]
        graph.node.append(copy)
    graph.initializer.extend(part.constants)
    graph.output.append(part.output)
    return True


def drop_map(path: Path) -> None:
    """Write the file again without its map."""
    model = onnx.load(path)
    if take_map(model) is not None:
        onnx.save_model(model, path)


def _converted(graph: onnx.GraphProto, name: str) -> str:
    """The name of the tensor in a quantized graph: of an activation what its QDQ pair gives, of weights likewise."""
    quantized = next(
        (node.output[0] for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == name),
        f"{name}_quantized",
    )
    return next(
        (node.output[0] for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] == quantized),
        name,
    )


def _half(model: onnx.ModelProto) -> set[str]:
    """The names of everything in half precision."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = {value.name for value in inferred.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT16}
    return values | {tensor.name for tensor in inferred.initializer if tensor.data_type == TensorProto.FLOAT16}

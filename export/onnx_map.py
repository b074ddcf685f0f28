"""Taking the class map's part out of an ONNX graph, and putting it onto a converted one.

Quantizers and converters see the graph without it: their ranges, counts and sizes stay those of the classifier, and
the map's own arithmetic stays float32. Afterwards it reads what the converted graph computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from bundle.manifest import CLASS_MAP, EXPLAIN


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
    constants = [tensor for tensor in graph.initializer if tensor.name not in needed]
    part = _unwrapped(mine, constants, output)
    own = {name for node in mine for name in node.output} | {tensor.name for tensor in constants}
    for node in mine:
        graph.node.remove(node)
    for tensor in constants:
        graph.initializer.remove(tensor)
    for values in (graph.value_info, graph.input):
        for value in [value for value in values if value.name in own]:
            values.remove(value)
    graph.output.remove(output)
    return part


def _unwrapped(
    nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto], output: onnx.ValueInfoProto
) -> MapPart:
    if len(nodes) == 1 and nodes[0].op_type == "If":
        (branch,) = (attribute.g for attribute in nodes[0].attribute if attribute.name == "then_branch")
        nodes, constants = branch.node, branch.initializer
    own = {name for node in nodes for name in node.output} | {tensor.name for tensor in constants}
    reads = dict.fromkeys(name for node in nodes for name in node.input if name and name not in own)
    return MapPart(tuple(nodes), tuple(constants), output, tuple(reads))


def put_map(model: onnx.ModelProto, part: MapPart) -> bool:
    """Put the part onto a graph, behind the question whether it is wanted; False where something that it reads is gone.

    onnxruntime computes every output, whichever are asked for (`only_execute_path_to_fetches` works in its training
    builds only), so the map is one branch of an `If` on the input EXPLAIN, which nobody has to give and which is
    false by default. The part reads integers dequantized, which is what the classifier goes on with, and half
    precision cast to float32.
    """
    graph = model.graph
    there = {name for node in graph.node for name in node.output} | {tensor.name for tensor in graph.initializer}
    renamed: dict[str, str] = {}
    branch: list[onnx.NodeProto] = []
    for name, source in _sources(model, part.reads).items():
        if not there.issuperset(source.reads):
            return False
        if source.operator:
            renamed[name] = f"{name}_for_{CLASS_MAP}"
            node = helper.make_node(source.operator, list(source.reads), [renamed[name]])
            node.attribute.extend(helper.make_attribute(key, value) for key, value in source.attributes.items())
            branch.append(node)
    for own in part.nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(own)
        copy.input[:] = [renamed.get(name, name) for name in own.input]
        branch.append(copy)
    then = helper.make_graph(branch, "explained", [], [part.output], list(part.constants))
    graph.input.append(helper.make_tensor_value_info(EXPLAIN, TensorProto.BOOL, []))
    graph.initializer.append(helper.make_tensor(EXPLAIN, TensorProto.BOOL, [], [False]))
    # Last of all: what reads it comes after everything that it reads.
    graph.node.append(
        helper.make_node("If", [EXPLAIN], [CLASS_MAP], then_branch=then, else_branch=_nothing(part.output))
    )
    graph.output.append(part.output)
    return True


def _nothing(output: onnx.ValueInfoProto) -> onnx.GraphProto:
    """A map of no picture."""
    shape = [0, *(size.dim_value for size in output.type.tensor_type.shape.dim[1:])]
    empty = helper.make_tensor("nothing", TensorProto.FLOAT, shape, [])
    value = helper.make_tensor_value_info("unexplained", TensorProto.FLOAT, shape)
    node = helper.make_node("Constant", [], ["unexplained"], value=empty)
    return helper.make_graph([node], "unexplained", [], [value])


@dataclass(frozen=True)
class _Source:
    """How a branch gets a float32 tensor of the classifier: by the operator of what it reads, or as it is."""

    reads: tuple[str, ...]
    operator: str = ""
    attributes: dict[str, int] = field(default_factory=dict)


def _sources(model: onnx.ModelProto, names: Sequence[str]) -> dict[str, _Source]:
    quantized = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    pairs = {node.input[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    half = _half(model)
    found = {}
    for name in names:
        if (pair := pairs.get(quantized.get(name, f"{name}_quantized"))) is not None:
            axis = {attribute.name: attribute.i for attribute in pair.attribute if attribute.name == "axis"}
            found[name] = _Source(tuple(pair.input), "DequantizeLinear", axis)
        elif name in half:
            found[name] = _Source((name,), "Cast", {"to": TensorProto.FLOAT})
        else:
            found[name] = _Source((name,))
    return found


def drop_map(path: Path) -> None:
    """Write the file again without its map."""
    model = onnx.load(path)
    if take_map(model) is not None:
        onnx.save_model(model, path)


def _half(model: onnx.ModelProto) -> set[str]:
    """The names of everything in half precision."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = {value.name for value in inferred.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT16}
    return values | {tensor.name for tensor in inferred.initializer if tensor.data_type == TensorProto.FLOAT16}

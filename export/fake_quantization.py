"""A network with the rounding of int8 in it, for training: where onnxruntime's QDQ files round, it rounds too.

The placement is onnxruntime's (weights S8 by channel, activations U8 by tensor, nothing between a layer and its batch
normalisation or clamp); XNNPACK's is near enough for the same weights to serve. Gradients go straight through what
is not clipped (Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", 2018).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from export.quiet import quiet

_aten = torch.ops.aten
_LAYERS = {_aten.conv2d.default, _aten.linear.default}
_NORMS = {_aten.batch_norm.default}
_CLAMPS = {
    *(_aten.relu.default, _aten.relu_.default, _aten.relu6.default, _aten.relu6_.default),
    *(_aten.hardtanh.default, _aten.hardtanh_.default, _aten.clamp.default),
}
_ROUNDED = {
    *_LAYERS,
    *_NORMS,
    *_CLAMPS,
    *(_aten.add.Tensor, _aten.add_.Tensor, _aten.mul.Tensor, _aten.mul_.Tensor, _aten.sigmoid.default),
    *(_aten.hardswish.default, _aten.hardswish_.default, _aten.hardsigmoid.default, _aten.hardsigmoid_.default),
    *(_aten.adaptive_avg_pool2d.default, _aten.avg_pool2d.default, _aten.mean.dim, _aten.cat.default),
}
_MOVING = {
    *(_aten.flatten.using_ints, _aten.view.default, _aten.reshape.default, _aten.permute.default),
    *(_aten.dropout.default, _aten.dropout_.default, _aten.max_pool2d.default),
}
_SILU = {_aten.silu.default, _aten.silu_.default}
_EVENLY = 0.1
"""The share of a new batch in the range of an activation."""


class ActivationRounding(nn.Module):
    """float32 of any shape, rounded to 256 steps of a range that follows what it sees while it trains."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.tensor(0.0))
        self.register_buffer("high", torch.tensor(0.0))

    def forward(self, values: Tensor) -> Tensor:
        if self.training:
            self._follow(*torch.aminmax(values.detach()))
        scale = ((self.high - self.low) / 255).clamp(min=torch.finfo(torch.float32).eps)
        zero = (-self.low / scale).round().clamp(0, 255).int()
        return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, 255)

    def _follow(self, low: Tensor, high: Tensor) -> None:
        """Zero is always inside: padding is exact."""
        share = 1.0 if self.high == self.low else _EVENLY
        self.low.lerp_(low.clamp(max=0), share)
        self.high.lerp_(high.clamp(min=0), share)


class WeightRounding(nn.Module):
    """A layer's weights [out, ...], rounded to 8 bits (7 where products would saturate) of each output's largest.

    Batch normalisation, folded into them later, scales whole outputs and changes nothing of that.
    """

    def __init__(self, largest: int) -> None:
        super().__init__()
        self.largest = largest

    def forward(self, weight: Tensor) -> Tensor:
        extremes = weight.detach().abs().flatten(1).amax(1)
        scale = (extremes / self.largest).clamp(min=torch.finfo(torch.float32).eps)
        zeros = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -self.largest, self.largest)


def with_rounding(module: nn.Module, example: Tensor, largest_weight: int = 127) -> fx.GraphModule:
    """The module in eval mode as a graph that rounds; its parameters keep their names.

    example: a batch of at least two; the graph takes any batch. `train()` lets the ranges follow and changes nothing
    else: batch normalisation and dropout stay as in eval mode.
    """
    with quiet():
        batch = {0: torch.export.Dim("N", min=1)}
        program = torch.export.export(module.eval(), (example,), dynamic_shapes=(batch,))
        graph = program.module()
    _split_silu(graph)
    for number, node in enumerate(list(graph.graph.nodes)):
        if node.target in _LAYERS:
            _round_weight(graph, node, f"weight_rounding_{number}", largest_weight)
        if _is_rounded(node):
            _insert(graph, node, f"rounding_{number}", ActivationRounding())
    for number, node in enumerate(list(graph.graph.nodes)):
        if node.target in _LAYERS and not _comes_rounded(graph, node.args[0]):
            _insert(graph, node.args[0], f"input_rounding_{number}", ActivationRounding())
    graph.recompile()
    return graph


def set_rounding(graph: fx.GraphModule, *, following: bool) -> None:
    """Whether the ranges follow what they see, or stay as they are."""
    for part in graph.modules():
        if isinstance(part, ActivationRounding):
            part.train(following)


def _split_silu(graph: fx.GraphModule) -> None:
    """ONNX has SiLU as a sigmoid and a product, and rounds between the two."""
    for node in list(graph.graph.nodes):
        if node.target in _SILU:
            source = node.args[0]
            with graph.graph.inserting_before(node):
                gate = graph.graph.call_function(_aten.sigmoid.default, (source,))
                product = graph.graph.call_function(_aten.mul.Tensor, (source, gate))
            node.replace_all_uses_with(product)
            graph.graph.erase_node(node)


def _is_rounded(node: fx.Node) -> bool:
    """Not what only a batch normalisation or a clamp reads: they are one operator with what they follow."""
    if node.target not in _ROUNDED:
        return False
    (reader, *others) = node.users or (None,)
    return (
        bool(others) or reader is None or reader.target not in (_NORMS if node.target in _LAYERS else set()) | _CLAMPS
    )


def _round_weight(graph: fx.GraphModule, layer: fx.Node, name: str, largest: int) -> None:
    graph.add_submodule(name, WeightRounding(largest))
    with graph.graph.inserting_before(layer):
        rounded = graph.graph.call_module(name, (layer.args[1],))
    layer.update_arg(1, rounded)


def _insert(graph: fx.GraphModule, node: Any, name: str, rounding: nn.Module) -> None:
    graph.add_submodule(name, rounding)
    with graph.graph.inserting_after(node):
        rounded = graph.graph.call_module(name, (node,))
    node.replace_all_uses_with(rounded, delete_user_cb=lambda user: user is not rounded)


def _comes_rounded(graph: fx.GraphModule, node: Any) -> bool:
    """Through whatever only moves values."""
    while node.target in _MOVING:
        node = node.all_input_nodes[0]
    return node.op == "call_module" and isinstance(graph.get_submodule(node.target), ActivationRounding)

"""Post-training quantization for XNNPACK, with the activation functions where they belong."""

from __future__ import annotations

from typing import Any, Literal

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from torch import nn
from torchao.quantization.pt2e import HistogramObserver, MinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation

from bundle.manifest import Manifest
from bundle.preprocess import Pixels
from export.executorch_program import example_of
from export.quiet import quiet

Observer = Literal["histogram", "minmax"]
_OBSERVERS = {"histogram": HistogramObserver, "minmax": MinMaxObserver}

_aten = torch.ops.aten
_CLAMPS = {_aten.relu.default, _aten.relu_.default, _aten.hardtanh.default, _aten.hardtanh_.default}
_BEFORE_CLAMPS = {_aten.conv2d.default, _aten.linear.default, _aten.add.Tensor}
_LAYERS = (_aten.conv2d.default, _aten.linear.default)


class FusingQuantizer(XNNPACKQuantizer):  # type: ignore[misc]
    """XNNPACK's own, but a convolution and its ReLU or ReLU6 share one range, the one after the clamp.

    While batch normalisation stands between them XNNPACKQuantizer does not see the pair: it measures the range before
    the clamp, and MobileNetV2's 0..6 gets a scale for -20..25. That cost 4 % of its top-1.
    """

    def annotate(self, model: Any) -> Any:
        model = super().annotate(model)
        for node in model.graph.nodes:
            before = node.args[0] if node.target in _CLAMPS else None
            if before is not None and before.target in _BEFORE_CLAMPS and len(before.users) == 1:
                self._share(before, node)
        return model

    @staticmethod
    def _share(before: Any, clamp: Any) -> None:
        annotation = before.meta.get("quantization_annotation")
        if annotation is None or annotation.output_qspec is None:
            return
        clamp.meta["quantization_annotation"] = QuantizationAnnotation(
            output_qspec=annotation.output_qspec, _annotated=True
        )
        annotation.output_qspec = None


def quantize(
    module: nn.Module, manifest: Manifest, tensors: Pixels, observer: Observer, *, layers_only: bool
) -> nn.Module:
    """The module with 8-bit weights by channel and activations by tensor, ranges from uint8 [n, H, W, 3].

    layers_only: additions and multiplications between the layers stay in float.
    """
    with quiet(), torch.no_grad():
        graph = torch.export.export(module, example_of(manifest)).module()
        prepared = prepare_pt2e(graph, _quantizer(observer, layers_only=layers_only))
        for picture in tensors:
            prepared(torch.from_numpy(picture[None].copy()))
        converted: nn.Module = convert_pt2e(prepared)
        return converted


def _quantizer(observer: Observer, *, layers_only: bool) -> XNNPACKQuantizer:
    config = get_symmetric_quantization_config(is_per_channel=True)
    activation = config.input_activation
    assert activation is not None
    ranges = type(activation)(
        dtype=activation.dtype,
        observer_or_fake_quant_ctr=_OBSERVERS[observer].with_args(eps=2**-12),
        quant_min=activation.quant_min,
        quant_max=activation.quant_max,
        qscheme=activation.qscheme,
    )
    config = type(config)(ranges, ranges, config.weight, config.bias, False)
    quantizer = FusingQuantizer()
    if not layers_only:
        return quantizer.set_global(config)
    for layer in _LAYERS:
        quantizer.set_operator_type(layer, config)
    return quantizer

"""The beginning of an ONNX file, for tests of what is done to it: (image / 255 - mean) / std, channels first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def picture_graph(
    side: tuple[int, int],
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, NDArray[Any]],
    out: onnx.ValueInfoProto,
) -> onnx.ModelProto:
    """Picture uint8 [N, *side, 3] to `out` by `nodes`, which begin with "normal" (or "share", before the mean).

    `constants` has "mean" and "std", float32 [1, 3, 1, 1]; each gets its shape noted, as the exporter does it.
    """
    normalisation = [
        helper.make_node("Transpose", ["image"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["first"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "full"], ["share"]),
        helper.make_node("Sub", ["share", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["normal"]),
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    tensors.append(numpy_helper.from_array(np.array(255, np.float32), "full"))
    graph = helper.make_graph(
        [*normalisation, *nodes],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", *side, 3])],
        [out],
        tensors,
        value_info=[helper.make_tensor_value_info(each.name, each.data_type, list(each.dims)) for each in tensors],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> NDArray[Any]:
    """The one output, as onnxruntime has it."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": pixels})
    return np.asarray(found)

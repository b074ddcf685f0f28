from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.onnx_quantizer import OnnxQuantizer
from export.onnx_rows import spread_normalisation
from export.onnx_stem import square_stem
from tests.export.picture_graphs import picture_graph, run

OUT = 5


def graph(height: int, width: int, kernel: NDArray[np.int8], *, rows: bool = True, **conv: Any) -> onnx.ModelProto:
    """A picture's normalisation, quantized, and its first convolution, quantized again."""
    constants = {
        "mean": np.array([0.1, 0.2, 0.3], np.float32).reshape(1, 3, 1, 1),
        "std": np.array([0.2, 0.3, 0.4], np.float32).reshape(1, 3, 1, 1),
        "scale": np.array(0.02, np.float32),
        "zero": np.array(100, np.uint8),
        "kernel": kernel,
        "kernel_scale": np.linspace(0.01, 0.02, len(kernel), dtype=np.float32),
        "kernel_zero": np.zeros(len(kernel), np.int8),
        "out_scale": np.array(0.5, np.float32),
        "out_zero": np.array(128, np.uint8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["normal", "scale", "zero"], ["coarse"]),
        helper.make_node("DequantizeLinear", ["coarse", "scale", "zero"], ["seen"]),
        helper.make_node("DequantizeLinear", ["kernel", "kernel_scale", "kernel_zero"], ["weights"], axis=0),
        helper.make_node("Conv", ["seen", "weights"], ["conv"], **conv),
        helper.make_node("QuantizeLinear", ["conv", "out_scale", "out_zero"], ["out"]),
    ]
    out = helper.make_tensor_value_info("out", TensorProto.UINT8, ["N", OUT, "h", "w"])
    model = picture_graph((height, width), nodes, constants, out)
    model.graph.value_info.append(helper.make_tensor_value_info("weights", TensorProto.FLOAT, kernel.shape))
    if rows:
        spread_normalisation(model)
    return model


def random_kernel(down: int, across: int, seed: int = 0) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-64, 64, (OUT, 3, down, across), np.int8)


def kernel_of(model: onnx.ModelProto) -> list[int]:
    return next(list(tensor.dims) for tensor in model.graph.initializer if tensor.name == "kernel")


@given(
    st.integers(2, 9), st.integers(2, 9), st.sampled_from([(3, 1), (7, 3), (2, 0), (4, 1), (5, 2)]), st.integers(0, 99)
)
def test_not_one_bit_changes(down: int, across: int, plan: tuple[int, int], seed: int) -> None:
    size, pad = plan
    model = graph(
        2 * down, 2 * across, random_kernel(size, size, seed), strides=[2, 2], pads=[pad] * 4, kernel_shape=[size, size]
    )
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 2 * down, 2 * across, 3), np.uint8)
    before = run(model, pixels)
    assert before.shape == (2, OUT, down, across)
    assert square_stem(model)
    onnx.checker.check_model(model, full_check=True)
    assert kernel_of(model)[1] == 12
    np.testing.assert_array_equal(run(model, pixels), before)


def test_a_kernel_that_is_no_square_keeps_its_sides_apart() -> None:
    model = graph(12, 8, random_kernel(3, 7), strides=[2, 2], pads=[1, 3, 1, 3])
    pixels = np.random.default_rng(1).integers(0, 256, (1, 12, 8, 3), np.uint8)
    before = run(model, pixels)
    assert square_stem(model)
    assert kernel_of(model) == [OUT, 12, 2, 4]
    np.testing.assert_array_equal(run(model, pixels), before)


PLAIN = {"strides": [2, 2], "pads": [1] * 4}


@pytest.mark.parametrize(
    ("height", "size", "conv"),
    [
        (9, 3, PLAIN),
        (8, 3, {**PLAIN, "strides": [1, 1]}),
        (8, 7, {"strides": [1, 2], "pads": [1, 3, 1, 3]}),
        (8, 3, {"strides": [2, 2]}),
        (8, 3, {**PLAIN, "pads": [1, 1, 0, 0]}),
        (8, 2, {"strides": [2, 2], "dilations": [3, 3], "pads": [0] * 4}),
        (8, 2, {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ],
)
def test_another_convolution_stays(height: int, size: int, conv: dict[str, Any]) -> None:
    model = graph(height, 8, random_kernel(size, size), **conv)
    before = model.SerializeToString()
    assert not square_stem(model)
    assert model.SerializeToString() == before


def test_constants_that_are_no_rows_stay() -> None:
    assert not square_stem(graph(8, 8, random_kernel(3, 3), rows=False, **PLAIN))


def test_a_convolution_of_floats_stays() -> None:
    model = graph(8, 8, random_kernel(3, 3), **PLAIN)
    kept = [node for node in model.graph.node if node.output[0] not in ("coarse", "seen")]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    next(node for node in kept if node.op_type == "Conv").input[0] = "normal"
    assert not square_stem(model)


def test_weights_with_another_use_or_another_zero_stay() -> None:
    model = graph(8, 8, random_kernel(3, 3), **PLAIN)
    model.graph.node.append(helper.make_node("Relu", ["weights"], ["other"]))
    assert not square_stem(model)
    model = graph(8, 8, random_kernel(3, 3), **PLAIN)
    zero = next(tensor for tensor in model.graph.initializer if tensor.name == "kernel_zero")
    zero.CopyFrom(numpy_helper.from_array(np.ones(OUT, np.int8), "kernel_zero"))
    assert not square_stem(model)


def test_what_the_quantizer_writes_is_recognised(tmp_path: Path) -> None:
    side, random = 32, np.random.default_rng(0)
    model = graph(side, side, random_kernel(3, 3), rows=False, **PLAIN)
    kept = [node for node in model.graph.node if "quantize" not in node.op_type.lower()]
    conv = next(node for node in kept if node.op_type == "Conv")
    conv.input[:] = ["normal", "floats"]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend([*kept, helper.make_node("Relu", ["conv"], ["out"])])
    floats = random.normal(size=(OUT, 3, 3, 3)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(floats, "floats"))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    onnx.save(model, tmp_path / "source.onnx")
    pictures = random.integers(0, 256, (16, side, side, 3), np.uint8)
    OnnxQuantizer(tmp_path / "source.onnx", pictures, tmp_path).quantize(tmp_path / "int8.onnx")
    written = onnx.load(tmp_path / "int8.onnx")
    spread_normalisation(written)
    before = run(written, pictures[:2])
    assert square_stem(written)
    np.testing.assert_array_equal(run(written, pictures[:2]), before)

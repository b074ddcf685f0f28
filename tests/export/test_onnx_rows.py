from __future__ import annotations

import numpy as np
import onnx
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from export.onnx_rows import spread_normalisation
from tests.export.picture_graphs import picture_graph, run

SIDE = 8


def graph(*more: onnx.NodeProto, mean: NDArray[np.float32] | None = None) -> onnx.ModelProto:
    """(image / 255 - mean) / std, channels first, and `more` nodes."""
    constants = {
        "mean": np.full((1, 3, 1, 1), 0.4, np.float32) if mean is None else mean,
        "std": np.array([0.2, 0.3, 0.4], np.float32).reshape(1, 3, 1, 1),
    }
    nodes = more or (helper.make_node("Relu", ["normal"], ["out"]),)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])
    return picture_graph((SIDE, SIDE), nodes, constants, out)


def shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    return {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}


@given(seed=st.integers(0, 1000), mean=st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3))
def test_not_one_bit_changes(seed: int, mean: list[float]) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    model = graph(mean=np.array(mean, np.float32).reshape(1, 3, 1, 1))
    before = run(model, pixels)
    assert spread_normalisation(model) == 2
    assert shapes(model) == {"mean": [1, 3, 1, SIDE], "std": [1, 3, 1, SIDE], "full": []}
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_array_equal(run(model, pixels), before)


def test_a_constant_with_another_use_stays() -> None:
    model = graph(helper.make_node("Mul", ["normal", "mean"], ["out"]))
    assert spread_normalisation(model) == 1
    assert shapes(model)["mean"] == [1, 3, 1, 1]


def test_the_way_ends_where_it_forks() -> None:
    fork = [helper.make_node("Relu", ["share"], ["other"]), helper.make_node("Add", ["normal", "other"], ["out"])]
    model = graph(*fork)
    assert spread_normalisation(model) == 0

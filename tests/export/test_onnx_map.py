"""The map's part of a graph: taken out, put onto converted graphs, proven or left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from bundle.folder import open_bundle
from bundle.onnx_session import OnnxSession
from export.job import Written
from export.map_proof import compare_maps, unproven
from export.onnx_map import drop_map, put_map, take_map
from export.proof import describe
from export.targets import TARGETS

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def model(bundle: Path) -> onnx.ModelProto:
    return onnx.load(bundle / "model.onnx")


def answers(model: onnx.ModelProto) -> list[np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    asked = {"explain": np.array(True)} if len(session.get_outputs()) > 1 else {}
    return session.run(None, {"image": PIXELS, **asked})


def test_taken_out_and_put_back_it_is_the_same_graph(model: onnx.ModelProto) -> None:
    probabilities, maps = answers(model)
    part = take_map(model)
    assert part is not None
    onnx.checker.check_model(model, full_check=True)
    (alone,) = answers(model)
    assert np.array_equal(alone, probabilities)
    assert take_map(model) is None
    assert put_map(model, part)
    onnx.checker.check_model(model, full_check=True)
    again = answers(model)
    assert np.array_equal(again[0], probabilities)
    assert np.array_equal(again[1], maps)


def test_nothing_of_it_is_left_in_the_classifier(model: onnx.ModelProto) -> None:
    part = take_map(model)
    assert part is not None
    used = {name for node in model.graph.node for name in node.input}
    assert [value.name for value in model.graph.input] == ["image"]
    assert {tensor.name for tensor in model.graph.initializer} <= used
    assert {node.output[0] for node in part.nodes}.isdisjoint(value.name for value in model.graph.value_info)


def test_where_a_tensor_is_gone_nothing_is_put(model: onnx.ModelProto) -> None:
    part = take_map(model)
    assert part is not None
    size = len(model.graph.node)
    producer = next(node for node in model.graph.node if node.output[0] in part.reads)
    model.graph.node.remove(producer)
    assert not put_map(model, part)
    assert len(model.graph.node) == size - 1
    assert len(model.graph.output) == 1


def small_graph() -> onnx.ModelProto:
    """features = x; probabilities = features + 1; class_map = the features' sum over the channels."""
    nodes = [
        helper.make_node("Identity", ["x"], ["features"]),
        helper.make_node("Add", ["features", "one"], ["probabilities"]),
        helper.make_node("ReduceSum", ["features", "axis"], ["class_map"], keepdims=0),
    ]
    values = [("x", ["N", 2, 2, 2]), ("probabilities", ["N", 2, 2, 2]), ("class_map", ["N", 2, 2])]
    x, *outputs = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values)
    constants = [
        numpy_helper.from_array(np.ones(1, np.float32), "one"),
        numpy_helper.from_array(np.array([1]), "axis"),
    ]
    graph = helper.make_graph(nodes, "small", [x], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_it_reads_what_the_quantized_classifier_goes_on_with() -> None:
    """Quantizing also clips: a graph may have no ReLU any more, its range begins at 0 instead."""
    model = small_graph()
    part = take_map(model)
    assert part is not None
    graph = model.graph
    scale, zero = np.array(0.5, np.float32), np.array(0, np.uint8)
    graph.initializer.extend([numpy_helper.from_array(scale, "scale"), numpy_helper.from_array(zero, "zero")])
    graph.node.insert(1, helper.make_node("QuantizeLinear", ["features", "scale", "zero"], ["q"]))
    graph.node.insert(2, helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"]))
    graph.node[3].input[0] = "dq"
    assert put_map(model, part)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.full((1, 2, 2, 2), -3, np.float32)
    x[0, 0] = 1.2
    _, maps = session.run(None, {"x": x, "explain": np.array(True)})
    assert np.array_equal(maps, np.full((1, 2, 2), 1.0))


def test_half_precision_is_cast_for_it() -> None:
    model = small_graph()
    part = take_map(model)
    assert part is not None
    model.graph.node[0].CopyFrom(helper.make_node("Cast", ["x"], ["features"], to=TensorProto.FLOAT16))
    one = numpy_helper.from_array(np.ones(1, np.float16), "one")
    model.graph.initializer[0].CopyFrom(one)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    assert put_map(model, part)
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    _, maps = session.run(None, {"x": np.ones((1, 2, 2, 2), np.float32), "explain": np.array(True)})
    assert maps.dtype == np.float32
    assert np.array_equal(maps, np.full((1, 2, 2), 2.0))


def test_nobody_who_does_not_ask_pays_for_it(bundle: Path, tmp_path: Path) -> None:
    """onnxruntime's profile tells which operators ran."""
    options = ort.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
    session = ort.InferenceSession(bundle / "model.onnx", options, providers=["CPUExecutionProvider"])
    session.run(["probabilities"], {"image": PIXELS})
    quiet = session.end_profiling()
    assert '"op_name" : "Softmax"' in Path(quiet).read_text()
    assert '"op_name" : "ArgMax"' not in Path(quiet).read_text()
    session = ort.InferenceSession(bundle / "model.onnx", options, providers=["CPUExecutionProvider"])
    session.run(None, {"image": PIXELS, "explain": np.array(True)})
    assert '"op_name" : "ArgMax"' in Path(session.end_profiling()).read_text()


def test_who_asks_for_probabilities_alone_gets_the_same(bundle: Path) -> None:
    served = OnnxSession(bundle / "model.onnx", open_bundle(bundle).manifest.artefact("onnx"))
    assert served.explains
    probabilities, maps = served.explain(PIXELS)
    assert np.array_equal(served.run(PIXELS), probabilities)
    assert maps.shape == (3, 10, 10)


def test_a_file_without_one_says_so(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes((bundle / "model.onnx").read_bytes())
    drop_map(path)
    written = unproven(Written(path))
    assert written.map_size is None
    session = OnnxSession(path, describe(TARGETS["onnx"], open_bundle(bundle).manifest, written))
    assert not session.explains
    with pytest.raises(ValueError, match="no output class_map"):
        session.explain(PIXELS)


MAP = np.arange(12, dtype=np.float32).reshape(1, 3, 4)


def test_equal_maps_are_proven() -> None:
    proof = compare_maps(MAP * (1 + 1e-5), MAP, 1e-3, 0.999)
    assert proof is not None
    assert 0 < proof.max_relative_difference < 1e-4
    assert proof.correlation == pytest.approx(1)


@pytest.mark.parametrize(
    "found",
    [MAP + 0.02 * MAP.max(), MAP[:, ::-1], -MAP, MAP * np.nan, MAP[:, :2]],
    ids=["moved", "upside down", "negative", "not finite", "another size"],
)
def test_other_maps_are_not(found: np.ndarray) -> None:
    assert compare_maps(found, MAP, 1e-3, 0.999) is None


def test_where_nothing_speaks_for_a_class_rounding_errors_do_not_count() -> None:
    expected = np.concatenate([MAP, np.zeros_like(MAP)])
    found = np.concatenate([MAP, np.full_like(MAP, 1e-8)])
    assert compare_maps(found, expected, 1e-3, 0.999) is not None
    found[1] = MAP
    assert compare_maps(found, expected, 1e-3, 0.999) is None

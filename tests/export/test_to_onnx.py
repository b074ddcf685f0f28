from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from bundle.folder import open_bundle
from export.errors import GraphInvalid
from export.to_onnx import OPSET, _check, write_onnx
from models.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def model(bundle: Path) -> onnx.ModelProto:
    return onnx.load(bundle / "model.onnx")


def test_the_opset_is_the_one_asked_for(model: onnx.ModelProto) -> None:
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == OPSET


def test_the_batch_is_dynamic_and_the_types_are_the_contract(model: onnx.ModelProto, bundle: Path) -> None:
    session = ort.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
    (image,), (probabilities, class_map) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["N", 32, 32, 3])
    assert (probabilities.name, probabilities.type, probabilities.shape) == ("probabilities", "tensor(float)", ["N", 3])
    assert (class_map.name, class_map.type, class_map.shape) == ("class_map", "tensor(float)", ["N", 10, 10])
    for size in (1, 2, 5):
        result, maps = session.run(None, {"image": np.zeros((size, 32, 32, 3), np.uint8), "explain": np.array(True)})
        assert maps.shape == (size, 10, 10)
        np.testing.assert_allclose(result.sum(axis=1), np.ones(size), atol=1e-6)


def test_labels_and_preprocessing_are_inside_the_file(model: onnx.ModelProto, bundle: Path) -> None:
    properties = {entry.key: entry.value for entry in model.metadata_props}
    manifest = open_bundle(bundle).manifest
    assert tuple(json.loads(properties["convoy.labels"])) == manifest.labels
    assert json.loads(properties["convoy.preprocess"]) == manifest.preprocess.model_dump(mode="json")
    assert properties["Image.BitmapPixelFormat"] == "Rgb8"


def test_no_path_of_the_exporting_machine_is_in_the_file(bundle: Path) -> None:
    content = (bundle / "model.onnx").read_bytes()
    for trace in (b"site-packages", b".py", str(Path.cwd()).encode(), str(Path.home()).encode() + b"/"):
        assert trace not in content


def test_the_weights_are_in_the_one_file(bundle: Path) -> None:
    assert sorted(path.name for path in bundle.iterdir()) == [
        "MODEL_CARD.md",
        "golden",
        "labels.txt",
        "manifest.json",
        "manifest.sha256",
        "model.onnx",
        "report.html",
    ]


def test_the_same_checkpoint_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        write_onnx(load_checkpoint(run), tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_fixed_batch_is_found(model: onnx.ModelProto, tmp_path: Path) -> None:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    changed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    changed.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(changed, tmp_path / "fixed.onnx")
    with pytest.raises(GraphInvalid, match="fixed at 1"):
        _check(tmp_path / "fixed.onnx")


def test_another_opset_is_found(model: onnx.ModelProto, tmp_path: Path) -> None:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    next(entry for entry in changed.opset_import if entry.domain == "").version = 18
    onnx.save(changed, tmp_path / "old.onnx")
    with pytest.raises(GraphInvalid, match="opset 18 instead of 20"):
        _check(tmp_path / "old.onnx")

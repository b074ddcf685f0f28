"""A bundle of a few KB, written without torch: the mean colour decides between blue, green and red."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bundle.folder import record_file, write_folder, write_manifest
from bundle.golden import write_array
from bundle.image import decode
from bundle.manifest import (
    Architecture,
    Artefact,
    BundleManifest,
    Golden,
    MapParity,
    Metrics,
    Parity,
    Preprocess,
    Provenance,
    ReferenceDistribution,
    TensorSpec,
)
from bundle.preprocess import preprocess
from tests.pictures import COLOURS, encode, plain

LABELS = tuple(COLOURS)
CROP = 8
SPEC = Preprocess(resize=10, crop=CROP, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
# Mean RGB in 0..255 → logits of blue, green, red.
MIX = np.array([[0, 0, 0.05], [0, 0.05, 0], [0.05, 0, 0]], dtype=np.float32)


def probabilities_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the graph computes for uint8 [H, W, 3], in numpy."""
    logits = pixels.astype(np.float32).mean(axis=(0, 1)) @ MIX
    exponentials = np.exp(logits - logits.max())
    result: NDArray[np.float32] = (exponentials / exponentials.sum()).astype(np.float32)
    return result


def map_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The class map float32 [8, 8] of uint8 [8, 8, 3], in numpy: how much of the answer's colour each pixel has."""
    index = int(probabilities_of(pixels).argmax())
    result: NDArray[np.float32] = pixels.astype(np.float32) @ MIX[:, index]
    return result


def tiny_graph(*, explains: bool = False) -> onnx.ModelProto:
    """uint8 [N, 8, 8, 3] → float32 [N, 3]; with `explains` a class map [N, 8, 8] too."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "mix"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", CROP, CROP, 3])]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(LABELS)])]
    if explains:
        branch = [
            helper.make_node("ArgMax", ["logits"], ["index"], axis=1, keepdims=0),
            helper.make_node("Gather", ["mix_by_class", "index"], ["rows"]),
            helper.make_node("Unsqueeze", ["rows", "axes"], ["weights"]),
            helper.make_node("Mul", ["float", "weights"], ["weighed"]),
            helper.make_node("ReduceSum", ["weighed", "channels"], ["class_map"], keepdims=0),
        ]
        outputs.append(helper.make_tensor_value_info("class_map", TensorProto.FLOAT, ["N", CROP, CROP]))
        nothing = helper.make_node("Constant", [], ["nothing"], value=helper.make_tensor("", 1, [0, CROP, CROP], []))
        value = helper.make_tensor_value_info("nothing", TensorProto.FLOAT, [0, CROP, CROP])
        branches = {
            "then_branch": helper.make_graph(branch, "then", [], outputs[1:]),
            "else_branch": helper.make_graph([nothing], "else", [], [value]),
        }
        nodes.append(helper.make_node("If", ["explain"], ["class_map"], **branches))
        inputs.append(helper.make_tensor_value_info("explain", TensorProto.BOOL, []))
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        outputs,
        [
            numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "axes"),
            numpy_helper.from_array(MIX, "mix"),
            numpy_helper.from_array(np.ascontiguousarray(MIX.T), "mix_by_class"),
            numpy_helper.from_array(np.array([3], dtype=np.int64), "channels"),
            *([numpy_helper.from_array(np.array(False), "explain")] if explains else []),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def write_tiny_bundle(target: Path, *, version: str = "1", explains: bool = False, spec: Preprocess = SPEC) -> Path:
    """Write the bundle and return its path."""
    with write_folder(target, "bundle") as root:
        onnx.save(tiny_graph(explains=explains), root / "model.onnx")
        (root / "labels.txt").write_text("\n".join(LABELS) + "\n")
        manifest = tiny_manifest(root, target.name, version, spec)
        write_manifest(root, explained(manifest) if explains else manifest)
    return target


def explained(manifest: BundleManifest) -> BundleManifest:
    """The manifest with the class map of its artefact."""
    (artefact,) = manifest.artefacts
    spec = TensorSpec(name="class_map", dtype="float32", shape=("N", CROP, CROP), layout="NHW", range=(0, 1e4))
    proof = MapParity(n=3, max_relative_difference=0.0, tolerance=1e-3, correlation=1.0, min_correlation=0.999)
    explained = artefact.model_copy(update={"outputs": (*artefact.outputs, spec), "class_map": proof})
    return manifest.model_copy(update={"artefacts": (explained,)})


def tiny_manifest(root: Path, name: str, version: str = "1", spec: Preprocess = SPEC) -> BundleManifest:
    """The manifest of the files in `root`, after its golden files have been written there."""
    return BundleManifest(
        name=name,
        version=version,
        architecture=Architecture(name="mean-colour"),
        labels=LABELS,
        preprocess=spec,
        metrics=Metrics(
            dataset_fingerprint="0" * 64,
            split="validation",
            n=3,
            top1=1.0,
            top5=1.0,
            macro_f1=1.0,
            ece=0.0,
            per_class_recall=(1.0, 1.0, 1.0),
        ),
        reference_distribution=ReferenceDistribution(
            class_frequencies=(0.3, 0.3, 0.4), confidence_histogram=(0.0,) * 9 + (1.0,)
        ),
        provenance=Provenance(weights_source="made for tests"),
        artefacts=(
            Artefact(
                **record_file(root, "model.onnx").model_dump(),
                target="onnx",
                precision="fp32",
                inputs=(
                    TensorSpec(name="image", dtype="uint8", shape=("N", CROP, CROP, 3), layout="NHWC", range=(0, 255)),
                ),
                outputs=(TensorSpec(name="probabilities", dtype="float32", shape=("N", 3), layout="NK", range=(0, 1)),),
                parity=Parity(n=3, max_abs_difference=0.0, tolerance=1e-4, top1_agreement=1.0, min_top1_agreement=0.99),
            ),
        ),
        golden=tuple(_golden(root, number, label, spec) for number, label in enumerate(LABELS)),
        documents=(record_file(root, "labels.txt"),),
    )


def _golden(root: Path, number: int, label: str, spec: Preprocess) -> Golden:
    data = encode(plain(label, seed=number))
    pixels = preprocess(decode(data), spec)
    image, tensor, probabilities = (f"golden/{number}.{kind}" for kind in ("png", "tensor.npy", "probabilities.npy"))
    write_array(root / tensor, pixels)
    write_array(root / probabilities, probabilities_of(pixels))
    (root / image).write_bytes(data)
    return Golden(
        image=record_file(root, image),
        tensor=record_file(root, tensor),
        probabilities=record_file(root, probabilities),
        label_index=number,
    )

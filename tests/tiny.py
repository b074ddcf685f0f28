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


def tiny_graph() -> onnx.ModelProto:
    """uint8 [N, 8, 8, 3] → float32 [N, 3]."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "mix"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", CROP, CROP, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(LABELS)])],
        [
            numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "axes"),
            numpy_helper.from_array(MIX, "mix"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def write_tiny_bundle(target: Path, *, version: str = "1", spec: Preprocess = SPEC) -> Path:
    """Write the bundle and return its path."""
    with write_folder(target, "bundle") as root:
        onnx.save(tiny_graph(), root / "model.onnx")
        (root / "labels.txt").write_text("\n".join(LABELS) + "\n")
        write_manifest(root, tiny_manifest(root, target.name, version, spec))
    return target


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

"""The ONNX writer: one fp32 file with a dynamic batch."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import onnx
import torch

from bundle.folder import record_file
from bundle.manifest import Artefact, Manifest, Parity, TensorSpec
from export.deployable import Deployable
from export.errors import GraphInvalid, GraphTooLarge
from models.checkpoint import Checkpoint
from models.provenance import tool_versions

OPSET = 20
"""What torch's exporter writes without a version conversion; onnxruntime reads it since 1.17."""

FILE = "model.onnx"

MAX_BYTES = 2**31 - 1
"""protobuf's limit for one message; weights in a second file would not be one artefact."""


def write_onnx(checkpoint: Checkpoint, path: Path) -> None:
    """Write the checkpoint's network as one ONNX file and check what was written.

    Raises: GraphTooLarge, GraphInvalid.
    """
    manifest = checkpoint.manifest
    size = sum(tensor.numel() * tensor.element_size() for tensor in checkpoint.network.state_dict().values())
    if size > MAX_BYTES:
        raise GraphTooLarge("onnx", size, MAX_BYTES)
    module = Deployable(checkpoint.network, manifest).eval()
    crop = manifest.preprocess.crop
    # A batch of 1 would be burnt into the graph (pytorch#133653).
    example = torch.zeros(2, crop, crop, 3, dtype=torch.uint8)
    with _quiet():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["probabilities"],
            dynamic_shapes={"image": {0: torch.export.Dim("N", min=1)}},
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise GraphInvalid("onnx", "the exporter returned nothing")
    model = program.model_proto
    _add_metadata(model, manifest)
    onnx.save_model(model, path)
    _check(path)


def tensor_specs(manifest: Manifest) -> tuple[TensorSpec, TensorSpec]:
    """The input and the output that every ONNX artefact has."""
    crop = manifest.preprocess.crop
    return (
        TensorSpec(name="image", dtype="uint8", shape=("N", crop, crop, 3), layout="NHWC RGB", range=(0, 255)),
        TensorSpec(name="probabilities", dtype="float32", shape=("N", len(manifest.labels)), layout="NK", range=(0, 1)),
    )


def onnx_artefact(root: Path, manifest: Manifest, parity: Parity) -> Artefact:
    """The manifest's record of the file in `root`."""
    image, probabilities = tensor_specs(manifest)
    return Artefact(
        **record_file(root, FILE).model_dump(),
        target="onnx",
        precision="fp32",
        inputs=(image,),
        outputs=(probabilities,),
        parity=parity,
        tools=tool_versions("torch", "onnx", "onnxscript", "onnxruntime"),
    )


def _add_metadata(model: onnx.ModelProto, manifest: Manifest) -> None:
    """Labels and preprocessing inside the file, for whoever gets it without the manifest."""
    values = {
        "convoy.name": manifest.name,
        "convoy.labels": json.dumps(manifest.labels, ensure_ascii=False),
        "convoy.preprocess": manifest.preprocess.model_dump_json(),
        "Image.BitmapPixelFormat": "Rgb8",
        "Image.ColorSpaceGamma": "SRGB",
        "Image.NominalPixelRange": "NominalRange_0_255",
    }
    # The exporter leaves its own there, with the absolute paths of this machine's files.
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    for key, text in values.items():
        model.metadata_props.add(key=key, value=text)


def _check(path: Path) -> None:
    """The exporter falls back without an error (another opset, a burnt-in batch): read the file, believe only it."""
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path, load_external_data=False)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset != OPSET:
        raise GraphInvalid("onnx", f"opset {opset} instead of {OPSET}")
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    if not batch.dim_param:
        raise GraphInvalid("onnx", f"the batch size is fixed at {batch.dim_value}")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise GraphInvalid("onnx", "weights lie in a second file")


class _quiet:
    """Silence torch's exporter: it logs progress at warning level and warns of its own deprecations."""

    _loggers = ("torch.onnx", "onnxscript", "torch.export")

    def __enter__(self) -> None:
        self._levels = {name: logging.getLogger(name).level for name in self._loggers}
        for name in self._loggers:
            logging.getLogger(name).setLevel(logging.ERROR)
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *exception: object) -> None:
        self._warnings.__exit__(*exception)  # type: ignore[arg-type]
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)

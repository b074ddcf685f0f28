"""The ONNX writer: one fp32 file with a dynamic batch."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch

from bundle.manifest import CLASS_MAP
from export.class_map import has_class_map
from export.deployable import Deployable, Explained, refuse_train_mode
from export.errors import GraphInvalid, GraphTooLarge
from export.job import Job, Written
from export.map_proof import keep_proven_map
from export.onnx_map import put_map, take_map
from export.onnx_metadata import add_metadata
from export.quiet import quiet
from export.targets import TARGETS
from models.checkpoint import Checkpoint
from models.registry import find

OPSET = 20
"""What torch's exporter writes without a version conversion; onnxruntime reads it since 1.17."""

MAX_BYTES = 2**31 - 1
"""protobuf's limit for one message; weights in a second file would not be one artefact."""


def write(job: Job, path: Path) -> Written:
    """Write the checkpoint's network. Raises: GraphTooLarge, GraphInvalid."""
    write_onnx(job.checkpoint, path)
    return keep_proven_map(job, TARGETS["onnx"], Written(path))


def write_onnx(checkpoint: Checkpoint, path: Path) -> None:
    """Write the checkpoint's network as one ONNX file and check what was written.

    It answers with a class map too where the architecture's head is of a known kind.
    Raises: GraphTooLarge, GraphInvalid.
    """
    manifest = checkpoint.manifest
    size = sum(tensor.numel() * tensor.element_size() for tensor in checkpoint.network.state_dict().values())
    if size > MAX_BYTES:
        raise GraphTooLarge("onnx", size, MAX_BYTES)
    module = deployable(checkpoint).eval()
    refuse_train_mode("onnx", module)
    crop = manifest.preprocess.crop
    # A batch of 1 would be burnt into the graph (pytorch#133653).
    example = torch.zeros(2, crop, crop, 3, dtype=torch.uint8)
    with quiet():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["probabilities", CLASS_MAP] if isinstance(module, Explained) else ["probabilities"],
            dynamic_shapes={"image": {0: torch.export.Dim("N", min=1)}},
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise GraphInvalid("onnx", "the exporter returned nothing")
    model = program.model_proto
    add_metadata(model, manifest)
    if (part := take_map(model)) is not None:
        put_map(model, part)
    onnx.save_model(model, path)
    _check(path)


def deployable(checkpoint: Checkpoint) -> Deployable:
    """The network as it is shipped, with the class map where there can be one."""
    network, manifest = checkpoint.network, checkpoint.manifest
    layer, crop = find(manifest.architecture.name).cam, manifest.preprocess.crop
    if has_class_map(network, layer, torch.zeros(2, 3, crop, crop)):
        return Explained(network, manifest, layer)
    return Deployable(network, manifest)


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

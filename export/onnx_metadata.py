"""Labels and preprocessing inside an ONNX file, for whoever gets it without the manifest."""

from __future__ import annotations

import json

import onnx

from bundle.manifest import Manifest


def add_metadata(model: onnx.ModelProto, manifest: Manifest) -> None:
    """Replace every metadata_props by ours and the convention of ONNX for images."""
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

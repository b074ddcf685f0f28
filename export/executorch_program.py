"""torch.export → ExecuTorch with XNNPACK: one .pte, one picture at a time, labels and preprocessing inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from torch import Tensor, nn

from bundle.manifest import Manifest
from export.quiet import quiet
from export.to_torchscript import metadata

METADATA = "convoy"
"""The constant method that answers with name, labels and preprocessing as JSON."""


def example_of(manifest: Manifest) -> tuple[Tensor]:
    """One picture: phones classify one at a time, and XNNPACK plans its memory for a fixed size."""
    crop = manifest.preprocess.crop
    return (torch.zeros(1, crop, crop, 3, dtype=torch.uint8),)


def lower(module: nn.Module, manifest: Manifest, path: Path) -> list[Any]:
    """Write the .pte; returns the graphs: the program's own first, then one per XNNPACK delegate."""
    with quiet():
        program = to_edge_transform_and_lower(
            torch.export.export(module, example_of(manifest)),
            partitioner=[XnnpackPartitioner()],
            constant_methods={METADATA: metadata(manifest)},
        )
        graph_module = program.exported_program("forward").graph_module
        delegates = [
            getattr(graph_module, node.target).original_module.graph_module
            for node in graph_module.graph.nodes
            if node.op == "get_attr" and hasattr(getattr(graph_module, node.target), "original_module")
        ]
        path.write_bytes(program.to_executorch().buffer)
    return [graph_module.graph, *(delegate.graph for delegate in delegates)]

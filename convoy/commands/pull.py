from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from convoy.commands.options import Json, Overwrite
from convoy.console import next_step, show


def pull(
    arch: Annotated[str, typer.Argument(metavar="ARCH", help="The architecture, such as mobilenet_v2.")],
    out: Annotated[Optional[Path], typer.Option(help="The checkpoint folder. Default: runs/ARCH.")] = None,
    weights: Annotated[
        str, typer.Option(help="imagenet (downloaded), or a .safetensors or state_dict file.")
    ] = "imagenet",
    labels: Annotated[Optional[Path], typer.Option(help="One label per line, for weights from a file.")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a pretrained network as a checkpoint folder, without training."""
    from models.pull import pull as run

    target = out or Path("runs") / arch
    identity = run(arch, target, weights=weights, labels=labels, overwrite=overwrite)
    record = {"checkpoint": str(target), "id": identity}
    show(list(record.items()), record, as_json=json)
    next_step(f"convoy export {target} --to onnx --data PICTURES --out bundles/{target.name}")

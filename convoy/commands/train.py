from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from convoy.commands.options import Arch, Json, Overwrite
from convoy.console import err, next_step, show


def train(
    arch: Arch,
    data: Annotated[
        Path, typer.Option(help="A folder of classes, a CSV, a zip of either, idx files, or a name such as cifar10.")
    ],
    out: Annotated[Path, typer.Option(help="The checkpoint folder to write.")],
    weights: Annotated[str, typer.Option(help="imagenet, none, or a .safetensors or state_dict file.")] = "none",
    transfer: Annotated[
        Optional[str], typer.Option(help="head (frozen backbone) or full. Default: head with weights, else full.")
    ] = None,
    epochs: Annotated[Optional[int], typer.Option(help="Default: 30 for head, 10 for full.")] = None,
    batch_size: Annotated[int, typer.Option(help="Pictures per step.")] = 32,
    learning_rate: Annotated[
        Optional[float], typer.Option("--learning-rate", "--lr", help="Default: 1e-3; 1e-4 to fine-tune everything.")
    ] = None,
    augment: Annotated[
        Optional[str], typer.Option(help="none or light. Default: light to fine-tune everything, else none.")
    ] = None,
    validation_share: Annotated[float, typer.Option(help="Held out of data without a validation split.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of the split, the weights and the order.")] = 0,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable images out and list them.")] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Train on a folder of labelled images and write a checkpoint folder."""
    from convoy.quiet import quiet_training
    from models.data import address
    from models.duplicates import warning
    from models.recipe import resolve_recipe
    from models.train import train as run

    quiet_training()
    recipe = resolve_recipe(
        arch,
        address(data),
        weights=weights,
        transfer=transfer,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        augment=augment,
        validation_share=validation_share,
        seed=seed,
        skip_bad=skip_bad,
    )
    trained = run(recipe, out, overwrite=overwrite, progress=not json and err.is_terminal)
    for path, reason in trained.skipped:
        err.print(f"left out {path}: {reason}", style="yellow")
    if trained.leaks:
        err.print(f"warning: {warning(trained.leaks)}", style="yellow")
    metrics = trained.metrics
    rows = [
        ("checkpoint", str(out)),
        ("id", trained.id),
        ("validation top-1", f"{metrics.top1:.4f}"),
        ("validation pictures", str(metrics.n)),
        ("macro F1", f"{metrics.macro_f1:.4f}"),
        ("calibration error", f"{metrics.ece:.4f}"),
        ("report", str(out / "report.html")),
    ]
    record = {
        "checkpoint": str(out),
        "id": trained.id,
        "metrics": metrics.model_dump(mode="json"),
        "skipped": [{"image": str(path), "reason": reason} for path, reason in trained.skipped],
    }
    show(rows, record, as_json=json)
    next_step(f"convoy export {out} --to onnx --out bundles/{out.name}")

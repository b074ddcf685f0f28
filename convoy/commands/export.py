from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from convoy.commands.options import Json, Overwrite
from convoy.console import next_step, show


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A checkpoint folder.")],
    out: Annotated[Path, typer.Option(help="The bundle folder to write.")],
    to: Annotated[str, typer.Option(help="Targets, comma separated.")] = "onnx",
    data: Annotated[
        Optional[Path],
        typer.Option(
            help="Evaluation pictures: whatever train takes, or a flat folder without labels. "
            "Default: what the checkpoint was validated on."
        ),
    ] = None,
    version: Annotated[str, typer.Option(help="The bundle's version.")] = "1",
    licence: Annotated[Optional[str], typer.Option(help="The licence of the model, such as apache-2.0.")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Export a checkpoint to a bundle; nothing is published that does not keep the answers."""
    from export.bundle_writer import export as write

    names = [name.strip() for name in to.split(",")]
    exported = write(run, names, out, data=data, version=version, licence=licence, overwrite=overwrite)
    rows = [("bundle", str(out)), ("id", exported.id)]
    for artefact in exported.manifest.artefacts:
        parity, accuracy = artefact.parity, artefact.accuracy
        rows.append((artefact.target, f"{artefact.path}, {artefact.bytes / 1e6:.1f} MB, {artefact.precision}"))
        rows.append(
            ("  parity", f"{parity.max_abs_difference:.1e} (allowed {parity.tolerance:.0e}) on {parity.n} pictures")
        )
        rows.append(("  top-1 agreement", f"{parity.top1_agreement:.2%}"))
        if accuracy:
            rows.append(("  top-1", f"{accuracy.top1:.4f} (checkpoint {accuracy.reference_top1:.4f})"))
    artefacts = [artefact.model_dump(mode="json") for artefact in exported.manifest.artefacts]
    show(rows, {"bundle": str(out), "id": exported.id, "artefacts": artefacts}, as_json=json)
    next_step(f"convoy serve {out}")

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from convoy.commands.options import Json, Overwrite
from convoy.console import err, next_step, show

if TYPE_CHECKING:
    from bundle.manifest import Artefact


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A checkpoint folder.")],
    out: Annotated[Path, typer.Option(help="The bundle folder to write.")],
    to: Annotated[
        Optional[list[str]],
        typer.Option(help="Targets or groups (server, gpu, phone, all), comma separated; may be repeated.  [onnx]"),
    ] = None,
    data: Annotated[
        Optional[Path],
        typer.Option(
            help="Evaluation pictures: whatever train takes, or a flat folder without labels. "
            "Default: what the checkpoint was validated on."
        ),
    ] = None,
    calibration: Annotated[
        Optional[Path],
        typer.Option(help="Training pictures for int8's ranges. Default: the checkpoint's training split."),
    ] = None,
    max_drop: Annotated[float, typer.Option(min=0, max=1, help="Share of the checkpoint's top-1 that may go.")] = 0.01,
    max_class_drop: Annotated[
        float, typer.Option(min=0, max=1, help="Share of a class's pictures that may go; two pictures always may.")
    ] = 0.10,
    qat: Annotated[
        bool,
        typer.Option(help="Fine-tune the weights on the training split where int8 keeps its answers in no other way."),
    ] = True,
    qat_epochs: Annotated[int, typer.Option(min=1, help="Epochs of it.")] = 3,
    qat_pictures: Annotated[int, typer.Option(min=1, help="At most so many training pictures an epoch.")] = 1000,
    qat_lr: Annotated[float, typer.Option(min=1e-9, help="Its learning rate.")] = 1e-5,
    version: Annotated[str, typer.Option(help="The bundle's version.")] = "1",
    licence: Annotated[Optional[str], typer.Option(help="The licence of the model, such as apache-2.0.")] = None,
    benchmark: Annotated[bool, typer.Option(help="Time every file for the report.")] = True,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Export a checkpoint to a bundle; nothing is published that does not keep the answers."""
    from export.accuracy import Gate
    from export.bundle_writer import export as write
    from export.fine_tuning import Budget

    names = [name.strip() for one in to or ["onnx"] for name in one.split(",")]
    gate = Gate(max_drop, max_class_drop)
    exported = write(
        run,
        names,
        out,
        data=data,
        calibration=calibration,
        version=version,
        licence=licence,
        gate=gate,
        budget=Budget(qat_epochs, qat_pictures, qat_lr) if qat else None,
        timed=benchmark,
        overwrite=overwrite,
    )
    rows = [("bundle", str(out)), ("id", exported.id)]
    for artefact in exported.manifest.artefacts:
        rows += _rows(artefact)
    for reason in exported.left_out:
        err.print(f"warning: left out: {reason}", style="yellow")
    for reason in exported.untimed:
        err.print(f"warning: not timed: {' '.join(reason.split())}", style="yellow")
    refused = exported.manifest.refused
    record = {
        "bundle": str(out),
        "id": exported.id,
        "artefacts": [artefact.model_dump(mode="json") for artefact in exported.manifest.artefacts],
        "refused": [refusal.model_dump(mode="json") for refusal in refused],
        "left_out": list(exported.left_out),
    }
    show(rows, record, as_json=json)
    if refused:
        for refusal in refused:
            err.print(f"refused: {' '.join(refusal.reason.split())}", style="red")
        raise typer.Exit(1)
    next_step(f"convoy serve {out}")


def _rows(artefact: Artefact) -> list[tuple[str, str]]:
    """One artefact and its proof."""
    rows = [(artefact.target, f"{artefact.path}, {artefact.bytes / 1e6:.1f} MB, {artefact.precision}")]
    parity, accuracy = artefact.parity, artefact.accuracy
    if parity is None:
        return [*rows, ("  UNVERIFIED", artefact.unverified or "")]
    allowed = "no limit" if parity.tolerance is None else f"allowed {parity.tolerance:.0e}"
    rows.append(("  parity", f"{parity.max_abs_difference:.1e} ({allowed}) on {parity.n} pictures"))
    rows.append(("  top-1 agreement", f"{parity.top1_agreement:.2%}"))
    if accuracy:
        low, high = accuracy.drop_interval
        drop = f"drop {accuracy.drop:+.4f}, 95 % {low:+.4f} to {high:+.4f}"
        rows.append(("  top-1", f"{accuracy.top1:.4f} (checkpoint {accuracy.reference_top1:.4f}, {drop})"))
    if artefact.latency:
        rows.append(("  one picture", f"{artefact.latency.p50_ms:.2f} ms at {artefact.latency.threads} thread"))
    if int8 := artefact.quantization:
        counts = f"{int8.integer_operators} integer, {int8.float_operators} float operators"
        rows.append(("  int8", f"{int8.method}: {counts}"))
        rows.append(("  against fp32", f"{int8.speed_up:.2f}x as fast, {int8.size_ratio:.2f} of the size"))
        if shared := int8.calibration.shared:
            rows.append(("  careful", f"{shared} of {int8.calibration.n} calibration pictures are evaluation pictures"))
    return rows

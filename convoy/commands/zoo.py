from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from convoy.commands.options import Json
from convoy.console import grid, next_step, out, write_text
from convoy.errors import NotSvg


def zoo(
    family: Annotated[Optional[str], typer.Option(help="Only this family, such as resnet or mobilenet.")] = None,
    max_params: Annotated[
        Optional[float], typer.Option("--max-params", min=0, help="At most so many million parameters.")
    ] = None,
    max_gmacs: Annotated[
        Optional[float],
        typer.Option("--max-gmacs", min=0, help="At most so many thousand million multiply-accumulates."),
    ] = None,
    year: Annotated[Optional[str], typer.Option(help="A year, or the first and the last: 2014-2017.")] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="Only those with published weights.")] = False,
    plot: Annotated[Optional[Path], typer.Option(metavar="FILE.svg", help="Draw accuracy against GMACs.")] = None,
    json: Json = False,
) -> None:
    """List the architectures: year, parameters, multiply-accumulates, weights and their accuracy."""
    from models.scatter import render_scatter
    from models.zoo import Filter
    from models.zoo import zoo as rows_of

    if plot and plot.suffix.lower() != ".svg":
        raise NotSvg(plot)
    parameters = None if max_params is None else max_params * 1e6
    rows = rows_of(Filter(family, parameters, max_gmacs, year, pretrained))
    if plot:
        write_text(plot, render_scatter(rows))
    if json:
        out.print_json(data=[row.as_dict() for row in rows])
    else:
        grid(_COLUMNS, [_cells(row) for row in rows])
    next_step(f"convoy describe {rows[0].name}" if rows else "convoy zoo, with fewer filters")


_COLUMNS = ("name", "year", "parameters>", "GMACs>", "input>", "top-1>", "weights")


def _cells(row: Any) -> tuple[str, ...]:
    from models.amounts import amount

    return (
        row.name,
        str(row.year),
        amount(row.parameters),
        f"{row.gmacs:.3f}" if row.gmacs >= 0.001 else f"{row.gmacs:.6f}",
        str(row.pixels),
        "" if row.top1 is None else f"{row.top1:.2f}",
        ", ".join(name.removeprefix("IMAGENET1K_") for name in row.weights) or "none",
    )

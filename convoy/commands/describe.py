from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from convoy.commands.options import Json
from convoy.console import grid, out, write_text

if TYPE_CHECKING:
    from models.describe import Description
    from models.layers import Layer


def describe(
    arch: Annotated[str, typer.Argument(metavar="ARCH", help="Such as vgg16, efficientnet/2.5 or timm/NAME.")],
    pixels: Annotated[Optional[int], typer.Option(min=1, help="Side of the picture. Default: its own.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Activations, dropout and the like, too.")] = False,
    html: Annotated[Optional[Path], typer.Option(metavar="FILE", help="Write a page with the network drawn.")] = None,
    json: Json = False,
) -> None:
    """Show a network layer by layer: shapes, receptive fields, parameters, multiply-accumulates, and its idea."""
    from models.describe import describe as run
    from models.portrait import is_shown, render_portrait

    description = run(arch, pixels=pixels)
    if html:
        write_text(html, render_portrait(description))
    if json:
        out.print_json(data=description.as_dict())
        return
    _header(description)
    shown = [layer for layer in description.layers if everything or is_shown(layer)]
    grid(_COLUMNS, [_row(description, layer) for layer in shown])
    _totals(description)


_COLUMNS = (
    *("layer", "type", "kernel>", "stride>", "padding>", "output>", "field>"),
    *("parameters>", "share>", "MACs>", "share>"),
)


def _header(description: Description) -> None:
    from models.lesson import lesson_of

    entry = description.entry
    out.print(f"{entry.title}, {entry.year or 'year unknown'}. {entry.paper}")
    lesson = lesson_of(description)
    if lesson:
        out.print(f"\n{lesson.idea}\n")
        grid(("", ""), lesson.figures, head=False)
    out.print()


def _row(description: Description, layer: Layer) -> tuple[str, ...]:
    from models.amounts import amount
    from models.portrait import cells

    parameters, macs = description.share(layer)
    return (
        layer.name + (" (training)" if layer.auxiliary else ""),
        *cells(layer),
        f"{layer.parameters:,}" if layer.parameters else "",
        f"{parameters:.1%}" if parameters else "",
        amount(layer.macs) if layer.macs else "",
        f"{macs:.1%}" if macs else "",
    )


def _totals(description: Description) -> None:
    from models.amounts import amount

    more = description.auxiliary_parameters
    training = f", {more:,} more in auxiliary heads while training" if more else ""
    out.print(
        f"\n{description.parameters:,} parameters{training}; {amount(description.macs)} multiply-accumulates for "
        f"{description.pixels}×{description.pixels} pixels; {description.reach.longest} layers deep"
    )

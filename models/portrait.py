"""The page of `convoy describe --html`: one network, drawn, counted and explained."""

from __future__ import annotations

from models.amounts import amount, times
from models.describe import Description
from models.drawing import HEIGHT, WIDTH, blocks, windows
from models.layers import Layer
from models.lesson import lesson_of
from models.report import render


def render_portrait(description: Description) -> str:
    """Self-contained HTML, light and dark."""
    drawn = blocks(description)
    return render(
        "describe.html",
        title=description.entry.title,
        entry=description.entry,
        description=description,
        lesson=lesson_of(description),
        width=WIDTH,
        height=HEIGHT,
        blocks=drawn,
        highest={
            "parameters": max(block.parameters for block in drawn),
            "macs": max(block.macs for block in drawn),
        },
        largest={
            "parameters": max(description.share(layer)[0] for layer in description.layers),
            "macs": max(description.share(layer)[1] for layer in description.layers),
        },
        layers=[(layer, cells(layer), description.share(layer)) for layer in description.layers if is_shown(layer)],
        amount=amount,
        times=times,
        windows=windows,
    )


def is_shown(layer: Layer) -> bool:
    """Whether a layer changes a shape, joins branches or holds parameters; activations and the like do not."""
    return bool(layer.parameters or layer.macs or layer.window) or layer.kind in ("pool", "join", "linear")


def cells(layer: Layer) -> tuple[str, ...]:
    """Type, kernel, stride, padding, output and receptive field as text; empty where a layer has none."""
    window = layer.window
    kernel, stride, padding = (
        (times(window.kernel), times(window.stride), times(window.padding)) if window else ("", "", "")
    )
    if window and window.dilation != (1, 1):
        kernel += f" d{max(window.dilation)}"
    groups = f", {layer.groups} groups" if layer.groups > 1 else ""
    field = "all" if layer.field is None else times(layer.field)
    return f"{layer.type}{groups}", kernel, stride, padding, times(layer.output), field

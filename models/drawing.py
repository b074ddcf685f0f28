"""A network as blocks and bars: positions for the page that `convoy describe --html` writes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.describe import Description, Stage, stages

WIDTH, HEIGHT = 1000.0, 250.0
_FLOOR = 205.0
"""Where the blocks stand; their names go below."""

_TALLEST, _SHORTEST = 130.0, 7.0
_WIDEST, _NARROWEST = 0.62, 0.16
"""Of a block's own column."""

_SLANT = 0.28
"""Depth of a block as a part of its height, drawn to the upper right."""


@dataclass(frozen=True)
class Block:
    """A stage in the drawing: the front's corners, how far the back is off, and where its bars stand.

    parameters, macs: shares of the whole, 0..1.
    """

    stage: Stage
    x: float
    y: float
    width: float
    height: float
    slant: float
    parameters: float
    macs: float

    @property
    def top(self) -> str:
        """Corners of the upper face."""
        x, y, right, off = self.x, self.y, self.x + self.width, self.slant
        return f"{x:.1f},{y:.1f} {x + off:.1f},{y - off:.1f} {right + off:.1f},{y - off:.1f} {right:.1f},{y:.1f}"

    @property
    def side(self) -> str:
        """Corners of the right face."""
        right, y, low, off = self.x + self.width, self.y, self.y + self.height, self.slant
        back = right + off
        return f"{right:.1f},{y:.1f} {back:.1f},{y - off:.1f} {back:.1f},{low - off:.1f} {right:.1f},{low:.1f}"

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def note(self) -> str:
        """What a pointer over the block shows."""
        return f"{self.stage.name}: {windows(self.stage)}"


def blocks(description: Description) -> list[Block]:
    """One block per stage: height for the maps' size, width for their number, both on a root or log scale."""
    parts = stages(description)
    column = WIDTH / len(parts)
    most = max(math.log2(stage.output[0] + 1) for stage in parts)
    return [_block(stage, index * column, column, most, description) for index, stage in enumerate(parts)]


def windows(stage: Stage) -> str:
    """The different sliding windows in a stage, most frequent first: `3×3 s2, 1×1`."""
    counts: dict[str, int] = {}
    for layer in stage.layers:
        if layer.window and layer.kind in ("conv", "pool"):
            high, wide = layer.window.kernel
            stride = f" s{max(layer.window.stride)}" if max(layer.window.stride) > 1 else ""
            text = f"{high}×{wide}{stride}{' grouped' if layer.kind == 'conv' and layer.groups > 1 else ''}"
            counts[text] = counts.get(text, 0) + 1
    ranked = sorted(counts, key=lambda text: -counts[text])
    return ", ".join(ranked[:4]) or stage.kind


def _block(stage: Stage, left: float, column: float, most: float, description: Description) -> Block:
    size = max(stage.output[1:], default=1) / description.pixels
    height = _SHORTEST + (_TALLEST - _SHORTEST) * math.sqrt(size)
    slant = min(height * _SLANT, column * 0.7)
    share = math.log2(stage.output[0] + 1) / most
    width = column * (_NARROWEST + (_WIDEST - _NARROWEST) * share**2)
    return Block(
        stage,
        x=round(left + (column - width - slant * 0.5) / 2, 1),
        y=round(_FLOOR - height, 1),
        width=round(width, 1),
        height=round(height, 1),
        slant=round(slant, 1),
        parameters=stage.parameters / description.parameters,
        macs=stage.macs / max(1, description.macs),
    )

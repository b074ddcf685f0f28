"""A network layer by layer, from a run on the meta device: no weights, no memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from models.blank import build_blank
from models.errors import PictureTooSmall
from models.layers import Layer
from models.reach import Reach
from models.registry import Entry, find
from models.trace import trace

MAX_STAGES = 32
"""What fits side by side into the drawing of a page."""


@dataclass(frozen=True)
class Description:
    """`parameters` and `macs` (multiply-accumulates for one picture) are of what runs when the network answers;
    `auxiliary_parameters` of the heads that only training uses. `reach` is that of the answer.
    """

    entry: Entry
    pixels: int
    layers: tuple[Layer, ...]
    reach: Reach

    @property
    def inference(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if not layer.auxiliary)

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.inference)

    @property
    def auxiliary_parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers if layer.auxiliary)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.inference)

    def share(self, layer: Layer) -> tuple[float, float]:
        """The layer's part of all parameters and of all multiply-accumulates, 0..1."""
        if layer.auxiliary:
            return 0.0, 0.0
        return layer.parameters / self.parameters, layer.macs / max(1, self.macs)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        entry = self.entry
        return {
            "name": entry.name,
            "title": entry.title,
            "year": entry.year,
            "paper": entry.paper,
            "family": entry.family,
            "input": [3, self.pixels, self.pixels],
            "classes": entry.classes,
            "head": entry.head,
            "auxiliary_heads": entry.auxiliary,
            "backbone": entry.backbone,
            "cam": entry.cam,
            "parameters": self.parameters,
            "auxiliary_parameters": self.auxiliary_parameters,
            "macs": self.macs,
            "shortest_path": self.reach.shortest,
            "longest_path": self.reach.longest,
            "paths": self.reach.paths,
            "weights": [asdict(weights) | {"preprocess": weights.preprocess.model_dump()} for weights in entry.weights],
            "layers": [self._layer(layer) for layer in self.layers],
        }

    def _layer(self, layer: Layer) -> dict[str, Any]:
        parameters, macs = self.share(layer)
        return {**layer.as_dict(), "parameters_share": parameters, "macs_share": macs}


@dataclass(frozen=True)
class Stage:
    """Neighbouring layers under one name."""

    name: str
    layers: tuple[Layer, ...]

    @property
    def output(self) -> tuple[int, ...]:
        return self.layers[-1].output

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def kind(self) -> str:
        """Of its heaviest layer; `pool` where nothing is multiplied."""
        return max(self.layers, key=lambda layer: (layer.macs, layer.kind == "pool")).kind


def describe(name: str, *, pixels: int | None = None) -> Description:
    """The architecture `name` at its own input size, or at another.

    Raises: UnknownArchitecture, PictureTooSmall.
    """
    return describe_entry(find(name), pixels=pixels)


def describe_entry(entry: Entry, *, pixels: int | None = None) -> Description:
    """As `describe`, of an entry at hand."""
    size = pixels or input_pixels(entry)
    network = build_blank(entry)
    try:
        traced = trace(network, torch.empty(1, 3, size, size, device="meta"))
    except RuntimeError as error:  # a window larger than its maps, or an output of no pixels
        raise PictureTooSmall(entry.name, size) from error
    layers = traced.layers + _auxiliary(entry, network, size)
    return Description(entry, size, layers, traced.reach)


def _auxiliary(entry: Entry, network: nn.Module, size: int) -> tuple[Layer, ...]:
    """The layers that only training runs; none where the picture leaves them no room (Inception below 299)."""
    if not entry.auxiliary:
        return ()
    heads = tuple(path.partition(".")[0] + "." for path in entry.auxiliary)
    try:
        # Batch norm in training mode needs two pictures.
        layers = trace(network.train(), torch.empty(2, 3, size, size, device="meta")).layers
    except RuntimeError:
        return ()
    return tuple(replace(layer, auxiliary=True) for layer in layers if (layer.name + ".").startswith(heads))


def input_pixels(entry: Entry) -> int:
    """The side of the picture that its figures are of: what the weights taken by default were evaluated at."""
    return (entry.default_weights or entry).preprocess.crop


def stages(description: Description, limit: int = MAX_STAGES) -> list[Stage]:
    """At most `limit` groups of layers that follow one another: blocks where they fit, else whole parts."""
    groups = _merged(_split(description.inference, 1))
    while True:
        # The group that falls into the fewest parts first: the figure stays even.
        choices = [(len(parts), index, parts) for index, group in enumerate(groups) if (parts := _parts(group))]
        if not choices:
            return groups
        count, index, parts = min(choices, key=lambda choice: choice[:2])
        if len(groups) + count - 1 > limit:
            return groups
        groups[index : index + 1] = parts


def _split(layers: Sequence[Layer], depth: int) -> Iterator[Stage]:
    """Runs of layers whose names share the first `depth` parts."""
    run: list[Layer] = []
    name = ""
    for layer in layers:
        prefix = ".".join(layer.name.partition(" ")[0].split(".")[:depth])
        if run and prefix != name:
            yield Stage(name, tuple(run))
            run = []
        name = prefix
        run.append(layer)
    if run:
        yield Stage(name, tuple(run))


def _parts(stage: Stage) -> list[Stage]:
    """The stage one level deeper; empty when it is one block, whose insides are no stages.

    A block joins its branches itself: residual, inception and fire modules add or concatenate at their own level.
    """
    depth = len(stage.name.split(".")) + 1
    if any(layer.kind == "join" and layer.name.count(".") + 1 == depth for layer in stage.layers):
        return []
    parts = _merged(_split(stage.layers, depth))
    return parts if len(parts) > 1 else []


def _merged(groups: Iterable[Stage]) -> list[Stage]:
    """Normalisation, activation and the like go with the layer before them, at the beginning with the one behind."""
    result: list[Stage] = []
    light = False
    for group in groups:
        if result and (light or not _is_heavy(group)):
            name = group.name if light else result[-1].name
            result[-1] = Stage(name, result[-1].layers + group.layers)
        else:
            result.append(group)
        light = not _is_heavy(result[-1])
    return result


def _is_heavy(group: Stage) -> bool:
    return any(layer.kind in ("conv", "pool", "linear") for layer in group.layers)

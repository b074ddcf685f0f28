"""A network as `transfer: head` trains it."""

from __future__ import annotations

from torch import nn

from models.recipe import Recipe
from models.registry import Entry
from models.stages import set_training, stages_of


def freeze_for_head(network: nn.Module, entry: Entry) -> None:
    """Only the last layer learns; all the rest evaluates."""
    recipe = Recipe(
        arch=entry.name, weights="-", data="-", transfer="head", augment="none", epochs=1, learning_rate=1e-3
    )
    network.train()
    set_training(stages_of(network, entry, recipe), 0, freeze_norm=False, drop_gradients=False)

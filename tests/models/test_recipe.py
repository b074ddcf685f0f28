from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from models.errors import RecipeInvalid, UnknownArchitecture
from models.recipe import Recipe, resolve_recipe


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("full", 10, 1e-3, "none")),
        ({"weights": "imagenet"}, ("head", 30, 1e-3, "none")),
        ({"weights": "imagenet", "transfer": "full"}, ("full", 10, 1e-4, "light")),
        ({"weights": "x.pth", "epochs": 3, "augment": "light"}, ("head", 3, 1e-3, "light")),
    ],
)
def test_defaults_follow_from_what_is_trained(given: dict[str, Any], expected: tuple[object, ...]) -> None:
    recipe = resolve_recipe("resnet18", Path("photos"), **given)
    assert (recipe.transfer, recipe.epochs, recipe.learning_rate, recipe.augment) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"transfer": "head"}, "transfer=head needs trained weights"),
        ({"transfer": "tail", "weights": "x"}, "transfer: Input should be 'head' or 'full'"),
        ({"epochs": 0}, "epochs: Input should be greater than or equal to 1"),
        ({"validation_share": 1.0}, "validation_share"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"speed": 3}, "speed: Extra inputs"),
    ],
)
def test_settings_are_checked_at_once(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeInvalid, match=message):
        resolve_recipe("resnet18", Path("photos"), **given)


def test_an_unknown_architecture_lists_the_near_names() -> None:
    with pytest.raises(UnknownArchitecture, match=r"'resnet_18' \(near: resnet18"):
        resolve_recipe("resnet_18", Path("photos"))


def test_a_recipe_survives_yaml() -> None:
    recipe = resolve_recipe("lenet5", Path("photos"), seed=4)
    assert Recipe.model_validate(yaml.safe_load(recipe.to_yaml())) == recipe

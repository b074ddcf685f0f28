from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from models.errors import RecipeInvalid, UnknownArchitecture
from models.recipe import Recipe, resolve_recipe
from models.registry import find


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("scratch", 10, 1e-3, "none")),
        ({"weights": "imagenet"}, ("head", 30, 1e-3, "none")),
        ({"weights": "imagenet", "transfer": "full"}, ("full", 10, 1e-4, "light")),
        ({"weights": "imagenet", "transfer": "finetune"}, ("finetune", 10, 1e-3, "light")),
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
        ({"transfer": "full"}, "transfer=full needs trained weights"),
        ({"transfer": "scratch", "weights": "x"}, "transfer=scratch starts from fresh weights"),
        ({"transfer": "tail", "weights": "x"}, "transfer: Input should be 'head', 'finetune', 'full' or 'scratch'"),
        ({"transfer": "finetune", "weights": "x", "epochs": 4}, r"from epoch 5 on, but epochs is 4: expected head_ep"),
        ({"loss": "mse", "label_smoothing": 0.1}, "are of loss=cross_entropy"),
        ({"loss": "mse", "class_weights": "balanced"}, "are of loss=cross_entropy"),
        ({"warmup_epochs": 10}, r"warmup_epochs \(10\) must be less than epochs \(10\)"),
        ({"warmup_epochs": 1, "schedule": "one_cycle"}, "one_cycle has a warm-up of its own"),
        ({"step_epochs": [3]}, "step_epochs and schedule=step belong together"),
        ({"schedule": "step"}, "step_epochs and schedule=step belong together"),
        ({"schedule": "step", "step_epochs": [5, 3]}, "must rise"),
        ({"schedule": "step", "step_epochs": [10]}, "less than epochs"),
        ({"preprocess": {"crop": 5000}, "epochs": "many"}, "epochs: Input should be a valid integer.*got 'many'"),
        ({"preprocess": {"corp": 96}}, r"there is no setting 'preprocess.corp' \(near: crop"),
        ({"lerning_rate": 3}, r"there is no setting 'lerning_rate' \(near: learning_rate"),
        ({"epochs": 0}, "epochs: Input should be greater than or equal to 1"),
        ({"validation_share": 1.0}, "validation_share"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"speed": 3}, "there is no setting 'speed'"),
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


def test_a_smaller_crop_shows_the_network_the_same_share_of_the_picture() -> None:
    spec = find("resnet18").preprocess
    changed = resolve_recipe("resnet18", Path("x"), preprocess={"crop": 112}).preprocess.of(spec)
    assert (changed.resize, changed.crop, changed.mean) == (128, 112, spec.mean)
    both = resolve_recipe("resnet18", Path("x"), preprocess={"crop": 112, "resize": 112}).preprocess.of(spec)
    assert (both.resize, both.crop) == (112, 112)
    with pytest.raises(RecipeInvalid, match=r"crop \(512\) must not be larger than resize \(256\)"):
        resolve_recipe("resnet18", Path("x"), preprocess={"crop": 512, "resize": 256}).preprocess.of(spec)


def test_finetune_thaws_its_last_stage_before_the_end() -> None:
    recipe = resolve_recipe("resnet18", Path("x"), weights="w.pth", transfer="finetune", stages=3, stage_epochs=2)
    assert recipe.last_thaw == 6

"""Recipes as YAML files: those that come with Convoy, by name, and the reader's own, by path."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from models.errors import RecipeUnreadable, SettingInvalid, UnknownRecipe

FOLDER = Path(__file__).parent / "recipes"


def recipe_names() -> list[str]:
    """Those that come with Convoy."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def recipe_path(name: str) -> Path:
    """A recipe by its name, or by its path when that ends in .yaml or .yml. Raises: UnknownRecipe."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return path
    if name not in recipe_names():
        raise UnknownRecipe(name, recipe_names())
    return FOLDER / f"{name}.yaml"


def read_recipe(name: str) -> dict[str, Any]:
    """The settings of a recipe, not yet checked. Raises: UnknownRecipe, RecipeUnreadable."""
    path = recipe_path(name)
    try:
        settings = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeError) as error:
        raise RecipeUnreadable(path, getattr(error, "strerror", None) or "not UTF-8 text") from error
    except yaml.YAMLError as error:
        raise RecipeUnreadable(path, " ".join(str(error).split())) from error
    except RecursionError as error:
        raise RecipeUnreadable(path, "nested too deeply") from error
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise RecipeUnreadable(path, "no settings")
    return settings


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Later layers win; a mapping inside, as `preprocess` is, is merged key by key."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = result.get(key)
            both = isinstance(old, Mapping) and isinstance(value, Mapping)
            result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """`["epochs=5", "preprocess.crop=96", "step_epochs=[3, 6]"]` → settings; values are YAML.

    Raises: SettingInvalid.
    """
    layers = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise SettingInvalid(text, "expected KEY=VALUE")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise SettingInvalid(text, "the value is not YAML") from error
        for part in reversed(key.split(".")):
            parsed = {part: parsed}
        layers.append(parsed)
    return merged(*layers)


class _Loader(yaml.SafeLoader):
    """YAML whose keys are unique: of two lines for one setting the first would silently be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands twice", key_node.start_mark)
                seen.add(key)
        return super().construct_mapping(node, deep)

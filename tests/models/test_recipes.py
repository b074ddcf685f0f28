"""The recipes that come with Convoy."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

from models.recipe import resolve_recipe
from models.recipe_files import FOLDER, read_recipe, recipe_names

DOCS = Path(__file__).resolve().parents[2] / "docs" / "train.md"


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_complete_and_begins_with_its_command(name: str) -> None:
    settings = read_recipe(name)
    recipe = resolve_recipe(**{"data": "photos", **settings})
    assert {key: getattr(recipe, key) for key in settings if key != "preprocess"} == {
        key: value for key, value in settings.items() if key != "preprocess"
    }
    head = re.findall(r"^#\s+convoy train --recipe (\S+) (.*)$", (FOLDER / f"{name}.yaml").read_text(), re.MULTILINE)
    assert [first for first, _ in head] == [name]
    assert ("--data photos" in head[0][1]) == ("data" not in settings)


def test_the_docs_name_every_recipe() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (?:ImageNet's weights|scratch)", DOCS.read_text(), re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"\w+", row)) == recipe_names()


def test_the_docs_name_every_setting() -> None:
    from models.recipe import Recipe

    named = set(re.findall(r"`(\w+)`", DOCS.read_text()))
    assert set(Recipe.model_fields) - {"arch", "weights", "data", "transfer"} <= named


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_says_what_was_measured(name: str) -> None:
    script = runpy.run_path(str(DOCS.parents[1] / "scripts" / "measure_training.py"))
    record = json.loads((DOCS.parent / "measured" / "training.json").read_text())[name]
    assert script["cost"](name, record) in (FOLDER / f"{name}.yaml").read_text().splitlines()

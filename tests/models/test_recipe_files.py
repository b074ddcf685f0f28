from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from models.errors import RecipeUnreadable, SettingInvalid, UnknownRecipe
from models.recipe_files import merged, parse_settings, read_recipe, recipe_names, recipe_path


def test_settings_are_yaml_under_dotted_keys() -> None:
    assert parse_settings(["epochs=5", "preprocess.crop=96", "preprocess.std=[1, 1, 1]", "augment=none"]) == {
        "epochs": 5,
        "preprocess": {"crop": 96, "std": [1, 1, 1]},
        "augment": "none",
    }
    assert parse_settings(["flip=false", "learning_rate=1e-3"]) == {"flip": False, "learning_rate": "1e-3"}


@pytest.mark.parametrize("text", ["epochs", "=5", "preprocess.=4", ".crop=4", "step_epochs=[1, 2"])
def test_what_is_no_setting(text: str) -> None:
    with pytest.raises(SettingInvalid, match="--set"):
        parse_settings([text])


trees = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.text("abc", min_size=1, max_size=2), inner), max_leaves=8
)
layers = st.dictionaries(st.text("abc", min_size=1, max_size=2), trees)


@given(layers, layers)
def test_later_layers_win_and_nothing_else_is_lost(first: dict, second: dict) -> None:
    result = merged(first, second)
    assert merged(result, second) == result
    assert merged({}, first) == merged(first, {}) == first
    assert set(result) == set(first) | set(second)
    for key, value in second.items():
        if not isinstance(value, dict):
            assert result[key] == value


def test_a_recipe_by_path_and_by_name(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("arch: lenet5\nepochs: 3\n")
    assert read_recipe(str(tmp_path / "mine.yaml")) == {"arch": "lenet5", "epochs": 3}
    assert recipe_path("mobilenet_v2").is_file()
    with pytest.raises(UnknownRecipe, match=r"'mobilnet_v2' \(near: mobilenet_v2"):
        read_recipe("mobilnet_v2")
    assert "mobilenet_v2" in recipe_names()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("epochs: 3\nepochs: 4\n", "'epochs' stands twice"),
        ("- epochs\n", "no settings"),
        ("", "no settings"),
        ("3: 4\n", "no settings"),
        ("epochs: [3\n", "line 2"),
        ("a: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("{[1]: 2}: 3", "unhashable"),
        ("[" * 4000, "nested|expected"),
    ],
)
def test_files_that_are_no_recipe(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(RecipeUnreadable, match=reason):
        read_recipe(str(path))
    with pytest.raises(RecipeUnreadable, match="No such file"):
        read_recipe(str(tmp_path / "none.yaml"))
    path.write_bytes(b"arch: \xff\xfe")
    with pytest.raises(RecipeUnreadable, match="not UTF-8"):
        read_recipe(str(path))


@given(st.text(max_size=60))
def test_any_text_is_settings_or_one_line(text: str) -> None:
    try:
        settings = parse_settings([text])
    except SettingInvalid as error:
        assert text in str(error)
    else:
        assert len(settings) == 1


def test_yaml_of_a_recipe_is_read_back(tmp_path: Path) -> None:
    from models.recipe import checked_recipe, resolve_recipe

    recipe = resolve_recipe("lenet5", "x", step_epochs=[2, 4], schedule="step", preprocess={"crop": 40})
    (tmp_path / "r.yaml").write_text(recipe.to_yaml())
    assert checked_recipe(read_recipe(str(tmp_path / "r.yaml"))) == recipe
    assert yaml.safe_load(recipe.to_yaml())["preprocess"]["crop"] == 40

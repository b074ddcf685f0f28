"""`convoy train` as a person meets it: recipes, overrides, what does not go together, stopping and going on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bundle.folder import open_checkpoint
from models.recipe import resolve_recipe
from models.unfinished import begin, unfinished
from tests.convoy.command import Convoy, refused

QUICK = ("--epochs", "1", "--batch-size", "36")


@pytest.fixture
def recipe(tmp_path: Path, colours: Path) -> Path:
    path = tmp_path / "mine.yaml"
    settings = {"arch": "lenet5", "data": str(colours), "epochs": 7, "batch_size": 12, "preprocess": {"resize": 40}}
    path.write_text(yaml.safe_dump(settings))
    return path


def test_options_go_before_the_recipe_and_set_before_both(convoy: Convoy, recipe: Path, tmp_path: Path) -> None:
    options = ("--epochs", "2", "--batch-size", "18", "--set", "batch_size=36", "--set", "preprocess.crop=36")
    result = convoy("train", "--recipe", recipe, "--out", tmp_path / "run", *options, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["epochs"] == 2
    assert result.stderr.splitlines()[:-1] == []  # programs read no epochs
    used = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert (used["epochs"], used["batch_size"], used["transfer"]) == (2, 36, "scratch")
    assert (used["preprocess"]["resize"], used["preprocess"]["crop"]) == (40, 36)
    assert open_checkpoint(tmp_path / "run").manifest.provenance.recipe == used


def test_the_recipe_of_a_run_trains_it_again(convoy: Convoy, recipe: Path, tmp_path: Path) -> None:
    assert convoy("train", "--recipe", recipe, "--out", tmp_path / "a", *QUICK).returncode == 0
    assert convoy("train", "--recipe", tmp_path / "a" / "recipe.yaml", "--out", tmp_path / "b").returncode == 0
    first, again = (open_checkpoint(tmp_path / name).manifest for name in ("a", "b"))
    assert first.weights.sha256 == again.weights.sha256


def test_people_hear_of_every_epoch(convoy: Convoy, recipe: Path, tmp_path: Path) -> None:
    result = convoy("train", "--recipe", recipe, "--out", tmp_path / "run", "--epochs", "2")
    lines = result.stderr.splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == ["epoch 1/2", "epoch 2/2"]
    assert "validation loss" in lines[0]
    assert lines[-1].startswith("next: convoy export")
    assert "2, of which" in result.stdout


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--recipe", "mobilnet_v2"), ("no recipe is called 'mobilnet_v2'", "near: mobilenet_v2")),
        (("--recipe", "none.yaml"), ("none.yaml: not readable as a recipe", "No such file")),
        ((), ("give --arch, or a --recipe that names it",)),
        (("--arch", "lenet5"), ("give --data, or a --recipe that names it",)),
        (("--recipe", "mobilenet_v2"), ("give --data, or a --recipe that names it",)),
        (("--set", "lerning_rate=3"), ("there is no setting 'lerning_rate'", "near: learning_rate")),
        (("--set", "preprocess.corp=3"), ("there is no setting 'preprocess.corp'", "near: crop")),
        (("--set", "optimizer=adagrad"), ("optimizer: Input should be 'adamw', 'adam', 'sgd' or 'rmsprop'",)),
        (("--set", "epochs"), ("--set epochs: expected KEY=VALUE",)),
        (("--set", "learning_rate=.inf"), ("learning_rate: Input should be a finite number",)),
        (("--find-lr", "rates.png"), ("rates.png: the page is written as HTML",)),
        (("--devices", "3"), ("batch_size 32 cannot be shared by 3 devices",)),
        (("--resume",), ("no run of this name was stopped after an epoch",)),
        (("--finish",), ("no run of this name was stopped after an epoch",)),
        (("--resume", "--finish"), ("--resume does not go with --finish",)),
        (("--resume", "--find-lr", "x.html"), ("--resume does not go with --find-lr",)),
        (("--finish", "--epochs", "3"), ("--finish does not go with --epochs", "the settings it began with")),
        (("--resume", "--set", "epochs=3"), ("--resume does not go with --set",)),
    ],
)
def test_what_cannot_be(
    convoy: Convoy, colours: Path, tmp_path: Path, options: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    first = options[0] if options else ""
    what = (
        () if first in ("", "--recipe", "--arch", "--resume", "--finish") else ("--arch", "lenet5", "--data", colours)
    )
    refused(convoy("train", *what, "--out", tmp_path / "run", *options), *parts)
    assert list(tmp_path.iterdir()) == []


def test_devices_are_a_number_or_auto(convoy: Convoy, tmp_path: Path) -> None:
    for text in ("0", "-1", "many"):
        result = convoy("train", "--arch", "lenet5", "--data", "x", "--out", tmp_path / "run", "--devices", text)
        assert result.returncode == 2
        assert "neither a number from 1 nor auto" in result.stderr


def test_the_finder_draws_and_trains_nothing(convoy: Convoy, recipe: Path, tmp_path: Path) -> None:
    page = tmp_path / "rates.html"
    result = convoy("train", "--recipe", recipe, "--out", tmp_path / "run", "--find-lr", page)
    assert result.returncode == 0, result.stderr
    assert "suggested learning rate" in result.stdout
    assert "<svg" in page.read_text()
    assert not (tmp_path / "run").exists()


def test_another_process_that_trains_the_run_is_told_of(convoy: Convoy, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with begin(out, resolve_recipe("lenet5", "x"), overwrite=False):
        refused(convoy("train", "--recipe", recipe, "--out", out), f"{out}: another process trains this run now")
    assert not unfinished(out).exists()


def test_tensorboard_gets_the_curves(convoy: Convoy, recipe: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = convoy("train", "--recipe", recipe, "--out", tmp_path / "run", "--epochs", "2", "--tensorboard")
    assert result.returncode == 0, result.stderr
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert len(events.Scalars("val_accuracy")) == 2
    assert {"train_loss", "val_loss"} <= set(events.Tags()["scalars"])
    assert open_checkpoint(tmp_path / "run").manifest.name == "run"

"""Runs that are stopped, killed and gone on with: the same end, and nothing lost on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bundle.folder import open_checkpoint
from models.errors import NothingToResume, RunChanged, RunInProgress, RunUnfinished
from models.history import read_history
from models.recipe import Recipe, resolve_recipe
from models.train import finish, resume, train
from models.unfinished import begin, unfinished
from tests.pictures import write_colour_folder

SPEC = {"resize": 32, "crop": 32}

SETTINGS = {
    "scratch": {"arch": "lenet5", "augment": "light", "flip": False, "schedule": "one_cycle"},
    "finetune": {
        "arch": "mobilenet_v3_small",
        "transfer": "finetune",
        "head_epochs": 1,
        "stages": 2,
        "augment": "strong",
        "mixup": 0.2,
        "cutmix": 0.5,
        "ema": 0.9,
        "sampling": "balanced",
        "gradient_clip": 1.0,
    },
    "features": {"arch": "mobilenet_v3_small", "transfer": "head", "optimizer": "sgd", "patience": 9},
}
"""Everything that draws numbers or keeps a state of its own."""

PROGRAM = """
import os, signal, sys
import models.learner
from models.learner import Learner
def stop(self, batch, index, original=Learner.training_step):
    if self.current_epoch == {epoch} and index == 1:
        os.kill(os.getpid(), signal.{signal})
    return original(self, batch, index)
Learner.training_step = stop
from convoy.main import main
main()
"""


def recipe_of(kind: str, data: Path, backbone: Path) -> Recipe:
    settings = {"epochs": 4, "batch_size": 8, "preprocess": SPEC, "learning_rate": 3e-3, **SETTINGS[kind]}
    if kind != "scratch":
        settings["weights"] = str(backbone)
    return resolve_recipe(str(settings.pop("arch")), data, **settings)


def stopped(recipe: Recipe, out: Path, name: str, epoch: int) -> subprocess.CompletedProcess[str]:
    """`convoy train` in a process of its own that gets the signal in the middle of an epoch, counted from 0."""
    file = out.parent / "recipe.yaml"
    file.write_text(recipe.to_yaml())
    program = PROGRAM.format(epoch=epoch, signal=name)
    command = [sys.executable, "-c", program, "train", "--recipe", str(file), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_killed_run_that_is_resumed_ends_as_if_it_had_not_been(
    colours: Path, backbone: Path, tmp_path: Path, kind: str
) -> None:
    recipe = recipe_of(kind, colours, backbone)
    train(recipe, tmp_path / "whole")
    assert stopped(recipe, tmp_path / "killed", "SIGKILL", epoch=2).returncode == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    assert len(read_history(unfinished(tmp_path / "killed") / "history.csv")) == 2
    resume(tmp_path / "killed")
    whole, again = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "killed"))
    for key in whole:
        torch.testing.assert_close(again[key], whole[key], rtol=0, atol=1e-6)
    for name in ("history.csv", "metrics.json", "recipe.yaml"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "killed", "recipe.yaml"}


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_stopped_run_says_how_to_go_on(colours: Path, tmp_path: Path, name: str, code: int) -> None:
    out = tmp_path / "run"
    result = stopped(resolve_recipe("lenet5", colours, epochs=50, batch_size=8), out, name, epoch=2)
    assert result.returncode == code, result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: training was stopped; kept: 2 epochs, of which epoch ")
    assert f"`convoy train --out {out} --resume`" in last
    assert f"`convoy train --out {out} --finish`" in last
    assert "Traceback" not in result.stderr
    trained = finish(out)
    assert trained.epochs == 2
    assert open_checkpoint(out).id == trained.id
    assert not unfinished(out).exists()


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_run_that_is_stopped_in_its_first_epoch_leaves_nothing(
    colours: Path, tmp_path: Path, name: str, code: int
) -> None:
    result = stopped(resolve_recipe("lenet5", colours, epochs=50, batch_size=8), tmp_path / "run", name, epoch=0)
    assert result.returncode == code, result.stderr
    expected = "error: training was stopped before its first epoch ended: nothing was written"
    assert result.stderr.splitlines()[-1] == expected
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


@pytest.fixture
def half(colours: Path, tmp_path: Path) -> tuple[Path, Recipe]:
    """A run that was killed in its third epoch."""
    data = write_colour_folder(tmp_path / "data", train=4, validation=2)
    recipe = resolve_recipe("lenet5", data, epochs=3, batch_size=8, learning_rate=3e-3)
    assert stopped(recipe, tmp_path / "run", "SIGKILL", epoch=2).returncode == -signal.SIGKILL
    return tmp_path / "run", recipe


def test_an_unfinished_run_is_not_written_over_unasked(half: tuple[Path, Recipe]) -> None:
    out, recipe = half
    with pytest.raises(RunUnfinished, match="go on with --resume, take its best epoch with --finish"):
        train(recipe, out)
    trained = train(recipe, out, overwrite=True)
    assert trained is not None
    assert trained.epochs == 3
    assert not unfinished(out).exists()


def test_a_run_goes_on_only_with_what_it_began_with(half: tuple[Path, Recipe]) -> None:
    out, recipe = half
    picture = next((Path(recipe.data) / "train" / "red").iterdir())
    content = picture.read_bytes()
    picture.unlink()
    with pytest.raises(RunChanged, match="the training pictures changed since the run was stopped"):
        resume(out)
    picture.write_bytes(content)
    assert resume(out) is not None


def test_there_must_be_something_to_go_on_from(colours: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToResume, match="no run of this name was stopped after an epoch"):
        resume(tmp_path / "none")
    train(resolve_recipe("lenet5", colours, epochs=1), tmp_path / "done")
    with pytest.raises(NothingToResume, match=r"this run is finished: train further .*--weights"):
        finish(tmp_path / "done")


def test_two_processes_do_not_train_the_same_run(half: tuple[Path, Recipe]) -> None:
    out, recipe = half
    with begin(out, recipe, overwrite=True):
        for attempt in (lambda: train(recipe, out, overwrite=True), lambda: train(recipe, out)):
            with pytest.raises(RunInProgress, match="another process trains this run now"):
                attempt()


def test_the_lock_goes_with_its_process(half: tuple[Path, Recipe]) -> None:
    """A kill leaves the lock's file, not the lock."""
    out, _ = half
    assert (unfinished(out) / "lock").exists()
    assert resume(out) is not None


def test_a_run_that_ended_but_was_not_written_is_written_by_resuming(
    half: tuple[Path, Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = half

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", os.fspath(out.parent / ".run.partial"))

    with monkeypatch.context() as patch:
        patch.setattr("models.train.write_checkpoint", full)
        with pytest.raises(OSError, match="No space"):
            resume(out)
    assert not out.exists()
    assert len(read_history(unfinished(out) / "history.csv")) == 3
    trained = resume(out)
    assert trained is not None
    assert trained.epochs == 3

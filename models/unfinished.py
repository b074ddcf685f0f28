"""A run that is going on, in `.NAME.unfinished` beside the folder that it will become.

Whatever stops it after an epoch leaves that folder, from which it goes on; a run that ends takes it away. One process
at a time holds it.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import yaml

from bundle.errors import CannotWrite
from models.callbacks import BEST, HISTORY, LAST
from models.errors import NothingToResume, RunChanged, RunInProgress, RunUnfinished
from models.history import best_epoch, read_history
from models.recipe import Recipe, checked_recipe

RECIPE, INPUTS, LOCK = "recipe.yaml", "inputs.json", "lock"


def unfinished(out: Path) -> Path:
    """Where the run that becomes `out` is kept."""
    out = out.absolute()
    return out.with_name(f".{out.name}.unfinished")


@contextmanager
def begin(out: Path, recipe: Recipe, *, overwrite: bool) -> Iterator[Path]:
    """A fresh folder for a run. Raises: RunUnfinished unless an older one may go, RunInProgress, CannotWrite."""
    folder = unfinished(out)
    _make(folder)
    with _held(out, folder):
        if (folder / LAST).exists() and not overwrite:
            raise RunUnfinished(out)
        _clear(folder)
        (folder / RECIPE).write_text(recipe.to_yaml(), encoding="utf-8")
        with _kept_when_worth_it(folder):
            yield folder


@contextmanager
def reopen(out: Path, *, alone: bool) -> Iterator[tuple[Path, Recipe]]:
    """The folder and the recipe of a run that was stopped. Raises: NothingToResume, RunInProgress.

    alone: hold the folder; a process that helps another does not.
    """
    folder = unfinished(out)
    if not (folder / LAST).is_file() or not (folder / RECIPE).is_file():
        raise NothingToResume(out, out.exists())
    recipe = checked_recipe(yaml.safe_load((folder / RECIPE).read_text(encoding="utf-8")))
    if not alone:
        yield folder, recipe
        return
    with _held(out, folder), _kept_when_worth_it(folder):
        yield folder, recipe


def check_inputs(folder: Path, inputs: dict[str, str]) -> None:
    """Hold a resumed run to the pictures and weights that it began with. Raises: RunChanged."""
    path = folder / INPUTS
    if not path.exists():
        path.write_text(json.dumps(inputs), encoding="utf-8")
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    for name, value in inputs.items():
        if before.get(name) != value:
            raise RunChanged(name)


def best_so_far(out: Path) -> str | None:
    """The best epoch of a stopped run, in words; None when no epoch was finished."""
    folder = unfinished(out)
    if not ((folder / LAST).is_file() and (folder / BEST).is_file()):
        return None
    history = read_history(folder / HISTORY)
    best = best_epoch(history)
    accuracy = next(row["val_accuracy"] for row in history if row["epoch"] == best)
    return f"{len(history)} epochs, of which epoch {best + 1} is the best, validation accuracy {accuracy:.4f}"


@contextmanager
def _kept_when_worth_it(folder: Path) -> Iterator[None]:
    """Take the folder away when the run is done, or was stopped before there was anything to go on from."""
    done = False
    try:
        yield
        done = True
    finally:
        if done or not (folder / LAST).exists():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(out: Path, folder: Path) -> Iterator[None]:
    """The lock goes with the process, however that ends."""
    with (folder / LOCK).open("w") as file:
        _lock(file, out)
        yield


def _lock(file: TextIO, out: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RunInProgress(out) from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LOCK).touch()
    except OSError as error:
        raise CannotWrite(folder, error.strerror or str(error)) from error


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()

"""Several processes: Lightning's DDP over gloo, here on the CPU."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning
import psutil
import pytest
import torch
from safetensors.torch import load_file

from bundle.folder import open_checkpoint
from models.augment import Augment
from models.data import read_training_data
from models.datasets import picture_loader, start_processes
from models.errors import BatchNotDivisible, HardwareMissing
from models.fit import Conditions
from models.history import read_history
from models.order import Place, TrainingOrder
from models.recipe import Recipe, resolve_recipe
from models.registry import build, find
from models.train import train
from models.unfinished import unfinished

NOISE = 5e-4
"""Of weights after a few dozen steps: two processes add a gradient's parts in another order than one does."""


def in_processes(recipe: Recipe, out: Path, processes: int, *more: str) -> subprocess.CompletedProcess[str]:
    file = out.with_suffix(".yaml")
    file.write_text(recipe.to_yaml())
    command = [sys.executable, "-m", "convoy.main", "train", "--recipe", str(file), "--out", str(out)]
    return answered([*command, "--devices", str(processes), *more])


def answered(command: list[str], seconds: float = 240) -> subprocess.CompletedProcess[str]:
    """The command's end; if it does not come, every process that it started says where it is, and is ended."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            _tell_and_end(process)
            stderr.seek(0)
            pytest.fail(f"no end after {seconds:.0f} s:\n{stderr.read()}")
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, stdout.read(), stderr.read())


def _tell_and_end(process: subprocess.Popen[bytes]) -> None:
    # Parents first: one whose child ends, or has ended, says that instead of where it is.
    found = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in found:
        with suppress(psutil.Error):
            one.send_signal(signal.SIGABRT)
            one.wait(2)  # or two dumps are one
    for one in found:
        with suppress(psutil.Error):
            one.kill()
    process.wait()


def same(one: Path, other: Path) -> None:
    first, second = (load_file(path / "weights.safetensors") for path in (one, other))
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=0, atol=NOISE)
    rows = [read_history(path / "history.csv") for path in (one, other)]
    for alone, shared in zip(*rows, strict=True):
        assert shared == pytest.approx(alone, abs=1e-4)
    metrics = [open_checkpoint(path).manifest.metrics for path in (one, other)]
    assert metrics[0] == metrics[1]


def test_two_processes_end_where_one_does(colours: Path, tmp_path: Path) -> None:
    """36 pictures in batches of 8: the last one is smaller; 15 to validate: one process has one more."""
    recipe = resolve_recipe(
        "lenet5", colours, epochs=4, batch_size=8, learning_rate=3e-3, augment="light", flip=False, sampling="balanced"
    )
    for name, processes in (("one", 1), ("two", 2)):
        result = in_processes(recipe, tmp_path / name, processes)
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("validation top-1") == 1  # the second process is silent
        assert result.stderr.count("epoch 4/4") == 1
    same(tmp_path / "one", tmp_path / "two")
    assert not unfinished(tmp_path / "two").exists()


def test_two_processes_thaw_together(colours: Path, tmp_path: Path) -> None:
    """LeNet-5 has no batch norm, whose statistics two processes see halves of."""
    torch.manual_seed(0)
    torch.save(build("lenet5", 3).state_dict(), tmp_path / "weights.pth")
    recipe = resolve_recipe(
        "lenet5",
        colours,
        weights=str(tmp_path / "weights.pth"),
        transfer="finetune",
        augment="none",
        epochs=4,
        batch_size=12,
        head_epochs=1,
        stages=2,
        learning_rate=3e-3,
    )
    for name, processes in (("one", 1), ("two", 2)):
        result = in_processes(recipe, tmp_path / name, processes)
        assert result.returncode == 0, result.stderr
    same(tmp_path / "one", tmp_path / "two")


class Met(Exception):
    """Where the processes of a training would find each other."""


@pytest.mark.parametrize(("processes", "early"), [(1, 0), (2, 2)])
def test_loaders_of_several_start_before_these_meet(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, early: int
) -> None:
    def meet(*_: Any, **__: Any) -> None:
        raise Met(len({child.pid for child in multiprocessing.active_children()} - before))

    monkeypatch.setattr(lightning.Trainer, "fit", meet)
    monkeypatch.setattr("models.datasets.available_cores", lambda: 2)
    before = {child.pid for child in multiprocessing.active_children()}
    recipe = resolve_recipe("lenet5", colours, epochs=1, batch_size=8)
    with pytest.raises(Met) as met:
        train(recipe, tmp_path / "run", conditions=Conditions(devices=processes))
    assert met.value.args == (early,)


def test_an_early_start_changes_no_batch(colours: Path) -> None:
    data = read_training_data(colours, validation_share=0.2, seed=0).train
    augment = Augment("light", find("lenet5").preprocess)
    early, late = (picture_loader(data, augment, 8, TrainingOrder(36, 8, 7, Place(), None), seed=7) for _ in range(2))
    start_processes(early)
    for epoch in (1, 2):
        early.sampler.set_epoch(epoch)
        late.sampler.set_epoch(epoch)
        for one, other in zip(early, late, strict=True):
            assert torch.equal(one[0], other[0])
            assert torch.equal(one[1], other[1])


def test_what_cannot_be_shared(colours: Path, tmp_path: Path) -> None:
    recipe = resolve_recipe("lenet5", colours, epochs=1, batch_size=9)
    with pytest.raises(BatchNotDivisible, match="batch_size 9 cannot be shared by 2 devices: give a multiple of 2"):
        train(recipe, tmp_path / "run", conditions=Conditions(devices=2))
    with pytest.raises(HardwareMissing, match="fp16 needs a GPU"):
        train(recipe.model_copy(update={"precision": "fp16"}), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_bf16_trains_here(colours: Path, tmp_path: Path) -> None:
    recipe = resolve_recipe("lenet5", colours, epochs=20, batch_size=8, learning_rate=5e-3, precision="bf16")
    trained = train(recipe, tmp_path / "run")
    assert trained is not None
    assert trained.metrics.top1 >= 0.9
    weights = load_file(tmp_path / "run" / "weights.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


@pytest.mark.slow
def test_torchrun_starts_the_processes_of_each_machine(colours: Path, tmp_path: Path) -> None:
    recipe = resolve_recipe("lenet5", colours, epochs=3, batch_size=8, learning_rate=3e-3)
    assert in_processes(recipe, tmp_path / "one", 1).returncode == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "convoy.main", "train", "--recipe", str(tmp_path / "one.yaml"), "--devices", "2"]
    result = answered([*command, "--out", str(tmp_path / "two")])
    assert result.returncode == 0, result.stderr
    same(tmp_path / "one", tmp_path / "two")

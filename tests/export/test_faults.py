"""Planted faults, and machines that refuse in the middle: each is caught, and the old bundle stays whole."""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bundle.folder import open_bundle
from export import litert_environment
from export.bundle_writer import export as write_bundle
from export.deployable import Deployable
from export.errors import GraphInvalid, ParityFailed
from export.quiet import quiet
from models.pull import pull
from models.registry import build

WRITERS = {
    "onnx": "export.to_onnx",
    "torchscript": "export.to_torchscript",
    "executorch": "export.to_executorch",
    "litert": "export.to_litert",
}


def need(target: str) -> None:
    """Skip where what the target needs is not there."""
    if target == "executorch":
        pytest.importorskip("executorch")
    if target == "litert" and litert_environment.python() is None:
        pytest.skip("LiteRT's environment is not there: make litert-env")


class WrongMean(Deployable):
    def forward(self, image: Tensor) -> Tensor:
        return super().forward((image.float() * 0.9).to(torch.uint8))


class SwappedChannels(Deployable):
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image.flip(3))


class PermutedLabels(Deployable):
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image).roll(1, dims=1)


class WrongInterpolation(Deployable):
    """A resize of its own inside the graph, nearest where the checkpoint was measured with bilinear."""

    def forward(self, image: Tensor) -> Tensor:
        small = torch.nn.functional.interpolate(image.permute(0, 3, 1, 2).float(), scale_factor=0.5, mode="nearest")
        back = torch.nn.functional.interpolate(small, scale_factor=2.0, mode="nearest")
        return super().forward(back.permute(0, 2, 3, 1).to(torch.uint8))


class TrainMode(Deployable):
    """Someone forgot .eval()."""

    def eval(self) -> TrainMode:
        self.network.train()
        return self


def plant(monkeypatch: pytest.MonkeyPatch, target: str, fault: type) -> None:
    """Let the target's writer start from the fault."""
    with quiet():
        writer = importlib.import_module(WRITERS[target])
    monkeypatch.setattr(writer, "Deployable", fault)
    # The writer of ONNX chooses between two of them.
    monkeypatch.setattr(writer, "deployable", lambda one: fault(one.network, one.manifest), raising=False)


@pytest.mark.parametrize("target", WRITERS)
@pytest.mark.parametrize("fault", [WrongMean, SwappedChannels, PermutedLabels, WrongInterpolation])
def test_a_fault_is_caught_in_every_format(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, fault: type
) -> None:
    need(target)
    plant(monkeypatch, target, fault)
    with pytest.raises(ParityFailed, match=f"{target}: not the same classifier.* differs by") as caught:
        write_bundle(run, [target], tmp_path / "bundle")
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def with_batch_norm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that answers otherwise in train mode; LeNet-5 does not."""
    root = tmp_path_factory.mktemp("norm")
    torch.manual_seed(0)
    save_file(build("mobilenet_v1_025", 3).state_dict(), root / "fresh.safetensors")
    (root / "labels.txt").write_text("blue\ngreen\nred\n")
    pull("mobilenet_v1_025", root / "run", weights=str(root / "fresh.safetensors"), labels=root / "labels.txt")
    return root / "run"


@pytest.mark.parametrize("target", WRITERS)
def test_train_mode_is_refused(
    with_batch_norm: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    need(target)
    plant(monkeypatch, target, TrainMode)
    with pytest.raises(GraphInvalid, match=f"{target}: .* is in train mode") as caught:
        write_bundle(with_batch_norm, [target], tmp_path / "bundle", data=colours)
    assert caught.value.exit_code == 1


class BatchStatistics(Deployable):
    """What train mode does, where no flag tells it: the answers depend on the whole batch."""

    def forward(self, image: Tensor) -> Tensor:
        pixels = self.normalise(image)
        return super().forward(image) + 0.1 * pixels.mean((0, 2, 3)).sum().tanh()


def test_answers_that_depend_on_the_batch_are_caught(run: Path, tmp_path: Path, monkeypatch) -> None:
    plant(monkeypatch, "onnx", BatchStatistics)
    with pytest.raises(ParityFailed, match="differs by"):
        write_bundle(run, ["onnx"], tmp_path / "bundle")


def convoy(*arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "convoy.main", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **options)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def old(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "old"))


def _small_files_only() -> None:
    """Enough for the pictures (46 KB), not for a network (240 KB): what fails is a network's writer."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))


def work_appears(old: Path, process: subprocess.Popen[str], file: str) -> bool:
    """Wait for an unproven file of that name; False when the process ends before."""
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        if list(old.parent.glob(f".old.*/.work/{file}")):
            return True
        time.sleep(0.002)
    return False


@pytest.mark.parametrize("targets", ["onnx", "torchscript", "ort"])
def test_a_disk_that_takes_no_more_leaves_the_old_bundle(run: Path, old: Path, targets: str) -> None:
    before = open_bundle(old).id
    arguments = ("export", run, "--to", targets, "--out", old, "--overwrite", "--no-benchmark")
    with convoy(*arguments, preexec_fn=_small_files_only) as process:
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 2, errors
    assert errors == f"error: {old}: cannot be written: File too large\n"
    assert output == ""
    assert open_bundle(old).id == before
    assert [path.name for path in old.parent.iterdir()] == ["old"]


def test_a_kill_in_the_middle_leaves_the_old_bundle(run: Path, old: Path) -> None:
    before = open_bundle(old).id
    with convoy("export", run, "--to", "onnx,torchscript", "--out", old, "--overwrite") as process:
        assert work_appears(old, process, "model.onnx"), "it was not in the middle"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert open_bundle(old).id == before
    assert [path.name for path in old.parent.iterdir() if not path.name.startswith(".")] == ["old"]
    # What is left behind is in nobody's way.
    write_bundle(run, ["onnx"], old, overwrite=True)
    assert open_bundle(old).id


@pytest.mark.skipif(sys.platform != "linux", reason="root writes everywhere else; /proc takes no folders")
def test_a_folder_that_takes_nothing_is_one_line(run: Path, tmp_path: Path) -> None:
    parent = Path("/proc/self")
    if os.geteuid() != 0:
        parent = tmp_path / "closed"
        parent.mkdir()
        parent.chmod(0o555)
    with convoy("export", run, "--out", parent / "bundle") as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors.startswith(f"error: {parent}/bundle: cannot be written")
    assert len(errors.splitlines()) == 1

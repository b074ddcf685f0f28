from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bundle.errors import CannotWrite
from models.lasting import LastingCheckpointIO

KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from models.lasting import LastingCheckpointIO
writer, moment = LastingCheckpointIO(), sys.argv[2]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def half(state, file):
    file.write(b"PK half of a file")
    file.flush()
    die()
if moment == "writing":
    torch.save = half
elif moment == "flushing":
    os.fsync = die
else:
    Path.replace = die
writer.save_checkpoint({"epoch": 2, "weights": torch.ones(1000)}, sys.argv[1])
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    LastingCheckpointIO().save_checkpoint({"epoch": 1, "weights": torch.zeros(1000)}, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


@pytest.mark.parametrize("moment", ["writing", "flushing", "renaming"])
def test_a_kill_while_a_state_is_written_leaves_the_one_before(state: Path, moment: str) -> None:
    result = subprocess.run([sys.executable, "-c", KILLED, str(state), moment], capture_output=True, timeout=120)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert LastingCheckpointIO().load_checkpoint(state)["epoch"] == 1
    LastingCheckpointIO().save_checkpoint({"epoch": 3}, state)
    assert LastingCheckpointIO().load_checkpoint(state)["epoch"] == 3
    assert [path.name for path in state.parent.iterdir()] == ["last.ckpt"]


def test_a_full_disk_is_one_line_and_leaves_the_state_before(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite, match="No space left on device"):
        LastingCheckpointIO().save_checkpoint({"epoch": 2}, state)
    monkeypatch.undo()
    assert LastingCheckpointIO().load_checkpoint(state)["epoch"] == 1
    assert [path.name for path in state.parent.iterdir()] == ["last.ckpt"]


def test_a_state_that_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "hacked"),))

    torch.save({"epoch": Evil()}, tmp_path / "last.ckpt")
    with pytest.raises(Exception, match="weights_only|Weights only"):
        LastingCheckpointIO().load_checkpoint(tmp_path / "last.ckpt")
    assert not (tmp_path / "hacked").exists()

"""The command line in this process: what torch's import costs is paid once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from convoy.main import main


class Result(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class Convoy:
    """Calls `convoy` with arguments and returns what it printed."""

    def __init__(self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capfd = capfd
        self.monkeypatch = monkeypatch

    def __call__(self, *arguments: object) -> Result:
        self.monkeypatch.setattr(sys, "argv", ["convoy", *map(str, arguments)])
        self.capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else 0
        return Result(code, *self.capfd.readouterr())

    def train(self, data: Path, out: Path, *more: object, arch: str = "lenet5") -> Result:
        return self("train", "--arch", arch, "--data", data, "--out", out, "--epochs", 1, *more)

    def refused(self, *arguments: object) -> str:
        """The one line of an error with exit code 2."""
        result = self(*arguments)
        refused(result)
        return result.stderr.splitlines()[0]


def refused(result: Result, *parts: str, code: int = 2) -> None:
    """One line that starts with `error: ` and has every part; no traceback."""
    assert result.returncode == code, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]

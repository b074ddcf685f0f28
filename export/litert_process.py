"""A .tflite file at work in LiteRT's own Python, a pipe away."""

from __future__ import annotations

import json
import subprocess
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from bundle.errors import ArtefactInvalid
from bundle.preprocess import Pixels
from export.errors import without_folders
from export.litert_environment import command, last_line


class LiteRtProcess:
    """One file in one process, which ends with this object. `memory_mb`: the most it ever had.

    Raises: EnvironmentMissing.
    """

    def __init__(self, target: str) -> None:
        log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by _close
        self._log = log
        self._path = Path(target)
        self._process = subprocess.Popen(
            command(target, "litert_run"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
        weakref.finalize(self, _close, self._process, log)
        self.memory_mb = 0.0
        self._read()

    def load(self, path: Path, threads: int) -> None:
        """Raises: ArtefactInvalid."""
        self._path = path
        self._write(json.dumps({"path": str(path.absolute()), "threads": threads}).encode() + b"\n")
        self._read()

    def run(self, batch: Pixels) -> np.ndarray[Any, np.dtype[np.float32]]:
        """uint8 [N, H, W, 3] → float32 [N, K]. Raises: ArtefactInvalid."""
        header = json.dumps({"shape": batch.shape}).encode() + b"\n"
        self._write(header, np.ascontiguousarray(batch).tobytes())
        shape = self._read()["shape"]
        assert self._process.stdout
        content = self._process.stdout.read(4 * int(np.prod(shape)))
        return np.frombuffer(content, np.float32).reshape(shape)

    def _write(self, *parts: bytes) -> None:
        assert self._process.stdin
        # Where nobody reads any more, `_read` finds no answer and raises with the reason.
        with suppress(BrokenPipeError):
            for part in parts:
                self._process.stdin.write(part)
            self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise ArtefactInvalid(self._path, without_folders(last_line(self._log.read())) or "its runtime ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ArtefactInvalid(self._path, without_folders(" ".join(answer["error"].split()))[:200])
        self.memory_mb = answer["memory_mb"]
        return answer


def _close(process: subprocess.Popen[bytes], log: IO[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:
                continue
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    log.close()

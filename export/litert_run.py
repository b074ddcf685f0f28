"""Run by LiteRT's own Python, which needs no more than ai-edge-litert here: answers for pictures, on command.

Speaks JSON lines, a batch's bytes right behind its line: {"path", "threads"} once, then {"shape"} and uint8 bytes;
answers {"memory_mb"}, then {"shape", "memory_mb"} and float32 bytes; {"error"} in the place of either. Imports nothing
of ours.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any, BinaryIO

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main() -> None:
    """Say that the library is read, load what the first line says, answer every further one."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the library prints is no answer
    _say(answers, memory_mb=_peak_memory())
    order = json.loads(sys.stdin.buffer.readline() or "null")
    if order is None:
        return
    try:
        interpreter = Interpreter(order["path"], num_threads=order["threads"])
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        _say(answers, error=str(error))
        return
    _say(answers, memory_mb=_peak_memory())
    while line := sys.stdin.buffer.readline():
        shape = json.loads(line)["shape"]
        pixels = np.frombuffer(sys.stdin.buffer.read(int(np.prod(shape))), np.uint8).reshape(shape)
        try:
            found = _answer(interpreter, pixels)
        except (RuntimeError, ValueError) as error:
            _say(answers, error=str(error))
            continue
        _say(answers, found.tobytes(), shape=found.shape, memory_mb=_peak_memory())


def _answer(interpreter: Any, pixels: np.ndarray) -> np.ndarray:
    """Picture after picture: the file takes one. float32 [n, K]."""
    image, answer = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    found = []
    for picture in pixels:
        interpreter.set_tensor(image, picture[np.newaxis])
        interpreter.invoke()
        found.append(interpreter.get_tensor(answer))
    return np.concatenate(found)


def _say(answers: BinaryIO, content: bytes = b"", **values: object) -> None:
    answers.write(json.dumps(values).encode() + b"\n" + content)
    answers.flush()


def _peak_memory() -> float:
    """The most this process ever had, in MB.

    Not `ru_maxrss` where the system knows better: that starts with what the parent had when it started this process.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()

"""Does OpenVINO run our ONNX files faster than onnxruntime, in the way that the service would use it?

    python scripts/benchmark_openvino.py model.onnx model-int8.onnx --out openvino.json

Needs openvino, onnxruntime and numpy, and nothing of ours. Both read the same files. Everything that is compared runs
in turn, round after round, so that other work on the machine meets all alike: ratios count, times do not.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino

SECONDS = 1.5
"""Of each contender in each round."""

Call = Callable[[np.ndarray], np.ndarray]


def onnxruntime_calls(path: Path, concurrent: int) -> list[Call]:
    """One session of one thread, shared by the callers, as the service has it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [lambda image: session.run(None, {"image": image})[0]] * concurrent


def openvino_calls(path: Path, concurrent: int) -> list[Call]:
    """A stream of one thread for every caller."""
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": str(concurrent),
        "INFERENCE_NUM_THREADS": str(concurrent),
        "PERFORMANCE_HINT": "THROUGHPUT",
    }
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)

    def call_of(request: openvino.InferRequest) -> Call:
        return lambda image: request.infer({0: image})[0]

    return [call_of(compiled.create_infer_request()) for _ in range(concurrent)]


def images_per_second(calls: list[Call], image: np.ndarray, seconds: float) -> float:
    """All callers at once."""
    counts = [0] * len(calls)
    start = time.perf_counter()

    def work(index: int) -> None:
        while time.perf_counter() < start + seconds:
            calls[index](image)
            counts[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def compare(path: Path, concurrent: int, image: np.ndarray, rounds: int) -> dict[str, Any]:
    """Rounds in turn, the first not counted. ratio: OpenVINO's rate over onnxruntime's, the median of the rounds'."""
    contenders = {"onnxruntime": onnxruntime_calls(path, concurrent), "openvino": openvino_calls(path, concurrent)}
    answers = [calls[0](image) for calls in contenders.values()]
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name in list(contenders)[:: 1 if turn % 2 else -1]:
            rate = images_per_second(contenders[name], image, SECONDS)
            if turn:
                rates[name].append(rate)
    pairs = zip(rates["openvino"], rates["onnxruntime"], strict=True)
    ratios = [round(ours / theirs, 3) for ours, theirs in pairs]
    return {
        "file": path.name,
        "concurrent": concurrent,
        "ratio": round(statistics.median(ratios), 3),
        "ratios": ratios,
        "max_abs_difference": float(np.abs(answers[0] - answers[1]).max()),
    }


def main() -> None:
    """Every file with one caller and with two."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    image = np.random.default_rng(0).integers(0, 256, (1, given.size, given.size, 3), dtype=np.uint8)
    found = [compare(path, concurrent, image, given.rounds) for path in given.files for concurrent in (1, 2)]
    record = {
        "versions": {"openvino": openvino.__version__, "onnxruntime": onnxruntime.__version__},
        "machine": platform.machine(),
        "seconds_per_round": SECONDS,
        "measurements": found,
    }
    given.out.write_text(json.dumps(record, indent=1) + "\n")
    for one in found:
        low, high = min(one["ratios"]), max(one["ratios"])
        print(f"{one['file']}, {one['concurrent']} at once: {one['ratio']}x ({low} to {high})")
        print(f"  answers differ by {one['max_abs_difference']:.1e}")


if __name__ == "__main__":
    main()

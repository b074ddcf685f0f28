"""ResNet-50 and MobileNetV2 on a CUDA card: PyTorch eager against what Convoy exports, batch 1 to 256.

    .venv/bin/python scripts/benchmark_gpu.py --out gpu.json [--networks resnet50 mobilenet_v2] [--batches 1 8 64 256]

Needs a CUDA build of torch; the ONNX lines need onnxruntime-gpu and are left out (and said to be) without it. Fresh
weights: the answers are compared with eager's all the same, the times do not depend on them. Every contender has its
turn in every round; the card's limit is measured in the same run: a large half-precision matrix product for
arithmetic, a copy within the card for memory.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bundle.folder import Folder
from bundle.manifest import Architecture, CheckpointManifest, FileRecord
from export.deployable import Deployable, HalfDeployable
from export.to_onnx import write_onnx
from models.checkpoint import Checkpoint
from models.describe import describe_entry
from models.registry import build, find

Run = Callable[[Tensor], Tensor]
ROUNDS, RUNS = 5, 20


def checkpoint_of(name: str) -> Checkpoint:
    """The architecture with fresh weights and 1,000 classes."""
    torch.manual_seed(0)
    manifest = CheckpointManifest(
        name=name,
        version="1",
        architecture=Architecture(name=name),
        labels=tuple(f"class {index}" for index in range(1000)),
        preprocess=find(name).preprocess,
        weights=FileRecord(path="weights.safetensors", sha256="0" * 64, bytes=0),
    )
    return Checkpoint(Folder(Path(), manifest, "0" * 64), build(name, 1000).eval())


def contenders(checkpoint: Checkpoint, batch: int, folder: Path) -> dict[str, Run]:
    """By name: a batch of uint8 [N, H, W, 3] on the card → float [N, K] on the card."""
    # Moving a module to the card moves its network: the checkpoint's own stays, for the ONNX files are written from it.
    module = Deployable(copy.deepcopy(checkpoint.network), checkpoint.manifest).eval().cuda()
    half = HalfDeployable(checkpoint.network, checkpoint.manifest).eval().cuda()
    pixels = example(checkpoint, batch)
    script32 = _script(module, pixels)
    script16 = _script(half, pixels)
    runs: dict[str, Run] = {
        "eager fp32": module,
        "eager fp16 channels-last": half,
        "torchscript fp32": script32,
        "torchscript fp16 channels-last": script16,
        "torchscript fp16 channels-last, CUDA graph": _graphed(script16, pixels),
        "compiled fp16 channels-last": torch.compile(half, mode="max-autotune"),
    }
    return {**runs, **_onnx(checkpoint, folder)}


def _script(module: nn.Module, pixels: Tensor) -> Run:
    with torch.no_grad():
        run: Run = torch.jit.freeze(torch.jit.trace(module, (pixels,), check_trace=False))
    return run


def _graphed(run: Run, pixels: Tensor) -> Run:
    """The kernels recorded once for this batch and replayed without the host."""
    static = pixels.clone()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream), torch.inference_mode():
        for _ in range(5):
            run(static)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), torch.inference_mode():
        answers = run(static)

    def replay(batch: Tensor) -> Tensor:
        static.copy_(batch)
        graph.replay()
        return answers

    return replay


def _onnx(checkpoint: Checkpoint, folder: Path) -> dict[str, Run]:
    """fp32 and fp16 in onnxruntime, tensors bound on the card; nothing without its CUDA provider."""
    import onnx
    import onnxruntime as ort
    from onnxruntime.transformers.float16 import convert_float_to_float16

    if "CUDAExecutionProvider" not in ort.get_available_providers():
        print("onnxruntime has no CUDA provider here (onnxruntime-gpu): its lines are left out", file=sys.stderr)
        return {}
    fp32, fp16 = folder / "fp32.onnx", folder / "fp16.onnx"
    if not fp32.exists():
        write_onnx(checkpoint, fp32)
        onnx.save(convert_float_to_float16(onnx.load(fp32), keep_io_types=True), fp16)
    return {f"onnxruntime {path.stem}": _bound(ort, path) for path in (fp32, fp16)}


def _bound(ort: Any, path: Path) -> Run:
    session = ort.InferenceSession(str(path), providers=["CUDAExecutionProvider"])

    def run(batch: Tensor) -> Tensor:
        binding = session.io_binding()
        answers = torch.empty(len(batch), 1000, device="cuda")
        for bind, name, tensor, kind in (
            (binding.bind_input, "image", batch, np.uint8),
            (binding.bind_output, "probabilities", answers, np.float32),
        ):
            bind(name, "cuda", 0, kind, tuple(tensor.shape), tensor.data_ptr())
        torch.cuda.synchronize()
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return answers

    return run


def example(checkpoint: Checkpoint, batch: int) -> Tensor:
    """Random uint8 pixels on the card."""
    crop = checkpoint.manifest.preprocess.crop
    return torch.randint(0, 256, (batch, crop, crop, 3), dtype=torch.uint8, device="cuda")


@torch.inference_mode()
def milliseconds(run: Run, pixels: Tensor, runs: int = RUNS) -> float:
    """Of one batch, the mean of `runs` in a row, the card's queue emptied before and after."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(runs):
        run(pixels)
    torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start) / runs


def limits() -> dict[str, float]:
    """What the card reaches here: TFLOP/s in half precision, GB/s within its memory."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
    block = torch.empty(2**30, device="cuda", dtype=torch.uint8)
    multiply = min(milliseconds(lambda _: a @ a, a, 10) for _ in range(3))
    copy = min(milliseconds(lambda _: block.clone(), block, 10) for _ in range(3))
    return {"half_tflops": 2 * 8192**3 / multiply / 1e9, "memory_gb_per_s": 2 * 2**30 / copy / 1e6}


@torch.inference_mode()
def measure(name: str, batch: int, folder: Path) -> list[dict[str, Any]]:
    """A line per contender: milliseconds, images per second, speed against eager fp32, difference from its answers."""
    checkpoint = checkpoint_of(name)
    pixels = example(checkpoint, batch)
    runs = contenders(checkpoint, batch, folder)
    reference = runs["eager fp32"](pixels).clone()
    differences = {key: float((run(pixels) - reference).abs().max()) for key, run in runs.items()}
    times: dict[str, list[float]] = {key: [] for key in runs}
    for turn in range(ROUNDS + 1):
        for key, run in runs.items():
            found = milliseconds(run, pixels)
            if turn:
                times[key].append(found)
    medians = {key: statistics.median(found) for key, found in times.items()}
    gflops = 2 * describe_entry(find(name)).macs / 1e9
    return [
        {
            "network": name,
            "batch": batch,
            "run": key,
            "ms": median,
            "images_per_second": 1000 * batch / median,
            "speed_up": medians["eager fp32"] / median,
            "tflops": gflops * batch / median,
            "difference": differences[key],
        }
        for key, median in medians.items()
    ]


def main() -> None:
    """Measure and write; says so and ends with 2 where there is no card."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--networks", nargs="+", default=["resnet50", "mobilenet_v2"])
    options.add_argument("--batches", nargs="+", type=int, default=[1, 8, 32, 64, 128, 256])
    chosen = options.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA card here: nothing was measured", file=sys.stderr)
        sys.exit(2)
    lines: list[dict[str, Any]] = []
    record = {"card": torch.cuda.get_device_name(), "torch": torch.__version__, "limits": limits(), "lines": lines}
    for name in chosen.networks:
        with tempfile.TemporaryDirectory() as folder:
            for batch in chosen.batches:
                lines += measure(name, batch, Path(folder))
                # After every batch: a larger one may not fit into the card, and the rest was measured all the same.
                chosen.out.write_text(json.dumps(record, indent=2) + "\n")
                print(*(f"{key}={value}" for line in lines[-1:] for key, value in line.items()), flush=True)


if __name__ == "__main__":
    main()

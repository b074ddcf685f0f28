"""Measure what the recipes and docs/train.md say of training, and write it to docs/measured/training.json.

The recipes' headers get their lines too.

    .venv/bin/python scripts/measure_training.py DATA [--only NAME]...

DATA holds `hymenoptera/{train,val}`, `cifar10_small.zip` (3,000 + 1,000 pictures), `mnist/` (the test half) and
`weights/{resnet18,mobilenet_v2}_imagenet.safetensors`. Each run is a process of its own; its seconds are those of the
whole command. Networks whose trained weights are not in DATA are timed with random ones, which cost the same.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image

from bundle.cores import available_cores
from models.recipe_files import read_recipe, recipe_names, recipe_path
from models.registry import build, find

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "measured" / "training.json"
SEEDS = (0, 1, 2)
CIFAR = "6 % of CIFAR-10: 2,400 pictures to train, 600 to validate, 1,000 to test"
HYMENOPTERA = "ants and bees, 238 pictures to train, 140 to validate"


def main(data: Path, only: Annotated[list[str] | None, typer.Option()] = None) -> None:
    known = json.loads(TARGET.read_text()) if TARGET.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, measure in MEASURES.items():
            if only and name not in only:
                continue
            started = time.monotonic()
            known[name] = {"machine": machine(), **measure(data.resolve(), Path(scratch))}
            print(name, json.dumps(known[name]), f"{time.monotonic() - started:.0f} s", flush=True)
            TARGET.write_text(json.dumps(known, indent=2) + "\n")
            if name in recipe_names():
                write_cost(name, known[name])


def cost(name: str, record: dict[str, Any]) -> str:
    """The line of a recipe's header that says what to expect."""
    found = [f"{key.removesuffix('_top1')} top-1 {record[key]:.4f}" for key in record if key.endswith("_top1")]
    if found:
        return f"# Measured: {found[0]}; {record['seconds']:.0f} s on {record['machine']}; {record['data']}."
    weights = find(read_recipe(name)["arch"]).default_weights
    assert weights is not None
    return (
        f"# Measured: {record['head_epoch_seconds']:.0f} s an epoch for the head, {record['epoch_seconds']:.0f} s for "
        f"all, on {record['machine']}; {record['data']}. Accuracy not measured, for want of the weights; "
        f"published for them on ImageNet: top-1 {weights.top1:.1f} %."
    )


def write_cost(name: str, record: dict[str, Any]) -> None:
    """Put the line in the place of the old one, or at the end of the recipe's header."""
    path = recipe_path(name)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("# Measured: ")]
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    path.write_text("\n".join([*lines[:end], cost(name, record), *lines[end:]]) + "\n")


def machine() -> str:
    models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    busy = ", beside other work" if os.getloadavg()[0] > 1.5 else ""
    return f"{available_cores()} cores of {models[0] if models else platform.machine()}{busy}"


def convoy(*arguments: object) -> tuple[dict[str, Any], str, float]:
    """(what --json printed, what was said besides, seconds)."""
    command = [sys.executable, "-m", "convoy.main", *map(str, arguments), "--json"]
    started = time.monotonic()
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if result.returncode:
        sys.exit(result.stderr)
    return json.loads(result.stdout), result.stderr, time.monotonic() - started


def test_top1(run: Path, data: Path, out: Path) -> float:
    """Of the test part, which no epoch was chosen on: `evaluate` takes it where the data has no validation part."""
    return float(convoy("evaluate", run, "--data", data, "--out", out)[0]["top1"])


def head(architecture: str) -> Callable[[Path, Path], dict[str, Any]]:
    def measure(data: Path, scratch: Path) -> dict[str, Any]:
        weights = data / "weights" / f"{architecture}_imagenet.safetensors"
        found = []
        for seed in SEEDS:
            out = scratch / f"{architecture}-{seed}"
            options = ("--arch", architecture, "--weights", weights, "--data", data / "hymenoptera", "--seed", seed)
            found.append((*convoy("train", *options, "--out", out), out))
        top1 = [one["metrics"]["top1"] for one, *_ in found]
        return {
            "data": HYMENOPTERA,
            "top1_mean": round(float(np.mean(top1)), 4),
            "top1": top1,
            "seconds": [round(seconds, 1) for _, _, seconds, _ in found],
            **extraction(architecture, weights, data / "hymenoptera", scratch),
        }

    return measure


def extraction(architecture: str, weights: Path, data: Path, scratch: Path) -> dict[str, Any]:
    """One pass of the backbone over all pictures against the 30 epochs on what it found, in one process."""
    import models.fit
    from convoy.quiet import quiet_training
    from models.recipe import resolve_recipe
    from models.train import train

    quiet_training()
    passes: list[float] = []
    each: list[float] = []
    original = models.fit.features_of

    def timed(*arguments: Any) -> Any:
        started = time.monotonic()
        result = original(*arguments)
        passes.append(time.monotonic() - started)
        return result

    models.fit.features_of = timed
    try:
        tell = models.fit.Conditions(tell=lambda _, __, seconds: each.append(seconds))
        train(
            resolve_recipe(architecture, data, weights=str(weights)), scratch / "timed", overwrite=True, conditions=tell
        )
    finally:
        models.fit.features_of = original
    return {
        "features_seconds": round(sum(passes), 2),
        "epochs": len(each),
        "epochs_seconds": round(sum(each), 2),
        "epochs_over_features": round(sum(each) / sum(passes), 3),
    }


def fine_tuning(data: Path, scratch: Path) -> dict[str, Any]:
    weights, pictures = data / "weights" / "mobilenet_v2_imagenet.safetensors", data / "cifar10_small.zip"
    shared = ("--data", pictures, "--weights", weights, "--set", "preprocess.crop=96", "--set", "preprocess.resize=96")
    _, _, head_seconds = convoy("train", "--arch", "mobilenet_v2", *shared, "--out", scratch / "head")
    # Enlarged thumbnails are unlike the backbone's pictures: it has more to learn than the recipe gives it.
    more = ("--set", "stage_factor=0.7", "--set", "head_epochs=1", "--set", "smallest_crop=0.6")
    _, _, seconds = convoy("train", "--recipe", "mobilenet_v2", *shared, *more, "--out", scratch / "fine")
    return {
        "data": "cifar10_small.zip, 2,400 pictures to train, 600 to validate, 1,000 to test, at 96 pixels",
        "head_test_top1": test_top1(scratch / "head", pictures, scratch / "head-test"),
        "head_seconds": round(head_seconds, 1),
        "test_top1": test_top1(scratch / "fine", pictures, scratch / "fine-test"),
        "seconds": round(seconds, 1),
    }


def by_recipe(name: str, source: str, description: str, part: str) -> Callable[[Path, Path], dict[str, Any]]:
    def measure(data: Path, scratch: Path) -> dict[str, Any]:
        out = scratch / name
        trained, _, seconds = convoy("train", "--recipe", name, "--data", data / source, "--out", out)
        top1 = trained["metrics"]["top1"] if part == "validation" else test_top1(out, data / source, scratch / "test")
        return {"data": description, f"{part}_top1": round(top1, 4), "seconds": round(seconds, 1)}

    return measure


def transfer(name: str) -> Callable[[Path, Path], dict[str, Any]]:
    """The whole recipe on ants and bees."""

    def measure(data: Path, scratch: Path) -> dict[str, Any]:
        weights = data / "weights" / f"{read_recipe(name)['arch']}_imagenet.safetensors"
        options = ("--recipe", name, "--weights", weights, "--data", data / "hymenoptera")
        trained, _, seconds = convoy("train", *options, "--out", scratch / f"recipe-{name}")
        top1 = trained["metrics"]["top1"]
        return {"data": HYMENOPTERA, "validation_top1": top1, "seconds": round(seconds, 1)}

    return measure


def epochs(name: str) -> Callable[[Path, Path], dict[str, Any]]:
    """The seconds of an epoch of the head, and of one in which everything learns, with random weights."""

    def measure(data: Path, scratch: Path) -> dict[str, Any]:
        from convoy.quiet import quiet_training
        from models.fit import Conditions
        from models.recipe import resolve_recipe
        from models.recipe_files import merged
        from models.train import train

        quiet_training()
        architecture = read_recipe(name)["arch"]
        torch.manual_seed(0)
        weights = scratch / f"{architecture}.pth"
        torch.save(build(architecture, find(architecture).classes).state_dict(), weights)
        found: list[float] = []
        # Random weights have no statistics that frozen norms could go by.
        short = {
            "freeze_norm": False,
            "epochs": 3,
            "head_epochs": 1,
            "stages": 1,
            "data": str(data / "hymenoptera"),
            "weights": str(weights),
        }
        recipe = resolve_recipe(**merged(read_recipe(name), short))
        train(
            recipe, scratch / f"epochs-{name}", conditions=Conditions(tell=lambda _, __, seconds: found.append(seconds))
        )
        return {"data": HYMENOPTERA, "head_epoch_seconds": round(found[0], 1), "epoch_seconds": round(found[2], 1)}

    return measure


def memory(_: Path, scratch: Path) -> dict[str, Any]:
    """Proportional set sizes of the command and its loader's processes, added up, at their highest."""
    found = {}
    for count in (2_000, 20_000):
        folder = scratch / f"pictures-{count}"
        write_pictures(folder, count)
        for kind in ("scratch", "features"):
            found[f"{kind}_{count}_mb"] = peak(scratch, folder, kind)
    return {
        "data": "generated JPEGs of 48x48 pixels in 10 classes; LeNet-5, and the head of a MobileNetV3-Small",
        **found,
    }


def write_pictures(folder: Path, count: int) -> None:
    generator = np.random.default_rng(0)
    for number in range(count):
        label = folder / f"class{number % 10}"
        label.mkdir(parents=True, exist_ok=True)
        small = generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize((48, 48)).save(label / f"{number:06d}.jpg", quality=80)


def peak(scratch: Path, folder: Path, kind: str) -> int:
    options = ["--arch", "lenet5", "--epochs", "1"]
    if kind == "features":
        torch.manual_seed(0)
        weights = scratch / "small.pth"
        torch.save(build("mobilenet_v3_small", 10).state_dict(), weights)
        options = ["--arch", "mobilenet_v3_small", "--weights", str(weights), "--epochs", "2"]
        options += ["--set", "preprocess.crop=32", "--set", "preprocess.resize=32"]
    command = [sys.executable, "-m", "convoy.main", "train", *options, "--data", str(folder)]
    process = subprocess.Popen(
        [*command, "--out", str(scratch / "memory"), "--overwrite"],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    highest, done = 0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.1):
            highest = max(highest, sum(size_of(pid) for pid in family(process.pid)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code:
        sys.exit(f"training ended with {code}")
    return round(highest / 1024)


def family(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children") if Path(f"/proc/{one}/task").is_dir() else ():
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def size_of(pid: int) -> int:
    """kB that the process has in memory, what it shares divided by who shares it; 0 when it has gone."""
    try:
        match = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(match[1]) if match else 0


MEASURES: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "head_resnet18": head("resnet18"),
    "head_mobilenet_v2": head("mobilenet_v2"),
    "lenet5_mnist": by_recipe(
        "lenet5_mnist", "mnist", "MNIST's test half: 8,000 pictures to train, 2,000 to validate", "validation"
    ),
    "fine_tuning": fine_tuning,
    "mobilenet_v2": transfer("mobilenet_v2"),
    "mobilenet_v3_large": epochs("mobilenet_v3_large"),
    "efficientnet_b0": epochs("efficientnet_b0"),
    "resnet50": epochs("resnet50"),
    "resnet18_cifar10": by_recipe("resnet18_cifar10", "cifar10_small.zip", CIFAR, "test"),
    "mobilenet_v1_cifar10": by_recipe("mobilenet_v1_cifar10", "cifar10_small.zip", CIFAR, "test"),
    "memory": memory,
}

if __name__ == "__main__":
    typer.run(main)

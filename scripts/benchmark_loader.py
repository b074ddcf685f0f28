"""How near the training loader comes to its limit: as many processes that decode and augment, and pass nothing on.

    .venv/bin/python scripts/benchmark_loader.py PICTURES [--preset light] [--crop 224] [--rounds 5] [--json FILE]

Both work on the same pictures with the same augmentation, in turns; the figure is the ratio of their rates, round by
round. The loader's first batch waits for its processes to start, which an epoch of a few hundred pictures feels: rates
are taken over an epoch of loaders that run already, as in training from the second epoch on.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from bundle.cores import available_cores
from models.augment import Augment
from models.data import read_training_data
from models.datasets import PictureDataset, picture_loader
from models.order import Draw, Place, TrainingOrder
from models.registry import IMAGENET

BATCH = 32
_dataset: PictureDataset | None = None


def main(
    pictures: Path,
    preset: str = "light",
    crop: int = 224,
    rounds: int = 5,
    epochs: Annotated[int, typer.Option(help="Of each round.")] = 2,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    global _dataset
    spec = IMAGENET.model_copy(update={"crop": crop, "resize": round(crop * 256 / 224)})
    data = read_training_data(pictures, validation_share=0.05, seed=0).train
    augment = Augment(preset, spec)  # type: ignore[arg-type]
    _dataset = PictureDataset(data, augment, 0)
    count, cores = len(data.samples), available_cores()
    order = TrainingOrder(count, BATCH, 0, Place(), None)
    loader = picture_loader(data, augment, BATCH, order, 0)
    with multiprocessing.get_context("fork").Pool(cores) as pool:
        limit(pool, count, 0)
        run(loader, 1)
        limits, loaded = [], []
        for number in range(rounds):
            limits.append(timed(lambda n=number: [limit(pool, count, n * epochs + e) for e in range(epochs)]))
            loaded.append(timed(lambda: run(loader, epochs)))
    rates = [[count * epochs / seconds for seconds in one] for one in (limits, loaded)]
    ratios = [have / most for most, have in zip(*rates, strict=True)]
    record: dict[str, Any] = {
        "pictures": count,
        "preset": preset,
        "crop": crop,
        "processes": cores,
        "rounds": rounds,
        "decode_and_augment_per_second": round(statistics.median(rates[0]), 1),
        "loader_per_second": round(statistics.median(rates[1]), 1),
        "ratio": {
            name: round(of(ratios), 3) for name, of in (("min", min), ("median", statistics.median), ("max", max))
        },
    }
    print(json.dumps(record, indent=2))
    if json_file:
        json_file.write_text(json.dumps(record, indent=2) + "\n")


def timed(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def limit(pool: Any, count: int, epoch: int) -> None:
    """Every picture once, in as many processes, in chunks of the loader's batches; nothing comes back."""
    pool.map(decode, [(epoch, list(range(start, min(start + BATCH, count)))) for start in range(0, count, BATCH)], 1)


def decode(chunk: tuple[int, list[int]]) -> None:
    assert _dataset is not None
    for picture in chunk[1]:
        _dataset[Draw(chunk[0], picture)]


def run(loader: Any, epochs: int) -> None:
    for _ in range(epochs):
        for _batch in loader:
            pass


if __name__ == "__main__":
    typer.run(main)

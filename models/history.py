"""history.csv: one row per epoch, from Lightning's log of one row per logging call."""

from __future__ import annotations

import csv
from pathlib import Path

COLUMNS = ("epoch", "train_loss", "val_loss", "val_accuracy")

History = list[dict[str, float]]


def read_history(path: Path) -> History:
    """The epochs in order; values that a row leaves empty come from another row of the same epoch."""
    epochs: dict[int, dict[str, float]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            epoch = int(row["epoch"])
            values = {name: float(row[name]) for name in COLUMNS[1:] if row.get(name)}
            epochs.setdefault(epoch, {"epoch": epoch}).update(values)
    return [epochs[epoch] for epoch in sorted(epochs)]


def write_history(path: Path, history: History) -> None:
    """Write the rows under COLUMNS."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({**row, "epoch": int(row["epoch"])} for row in history)

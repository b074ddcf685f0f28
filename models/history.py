"""history.csv: one row per epoch."""

from __future__ import annotations

import csv
from pathlib import Path

COLUMNS = ("epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate")

Epoch = dict[str, float]
History = list[Epoch]


def read_history(path: Path) -> History:
    """The epochs in order; a row leaves out what its epoch has no value for."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {"epoch": int(row["epoch"])} | {name: float(row[name]) for name in COLUMNS[1:] if row.get(name)}
            for row in csv.DictReader(file)
        ]


def write_history(path: Path, history: History) -> None:
    """Write the rows under COLUMNS, in one move: whoever reads meanwhile sees the old file or the new one."""
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({**row, "epoch": int(row["epoch"])} for row in history)
    partial.replace(path)


def best_epoch(history: History) -> int:
    """The epoch, from 0, whose weights were kept: of the highest validation accuracy, of equal ones of the lowest loss.

    Raises: ValueError when there is none.
    """
    known = [row for row in history if "val_accuracy" in row]
    return int(max(known, key=lambda row: (row["val_accuracy"], -row.get("val_loss", 0.0)))["epoch"])

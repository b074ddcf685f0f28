from __future__ import annotations

from pathlib import Path

from models.history import read_history, write_history


def test_rows_of_one_epoch_are_joined(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text("epoch,step,train_loss,val_accuracy,val_loss\n0,3,,0.5,1.5\n0,3,2.0,,\n1,7,,0.75,1.25\n1,7,1.0,,\n")
    rows = [
        {"epoch": 0, "val_accuracy": 0.5, "val_loss": 1.5, "train_loss": 2.0},
        {"epoch": 1, "val_accuracy": 0.75, "val_loss": 1.25, "train_loss": 1.0},
    ]
    assert read_history(log) == rows
    write_history(tmp_path / "history.csv", rows)
    assert read_history(tmp_path / "history.csv") == rows

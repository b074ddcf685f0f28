from __future__ import annotations

from pathlib import Path

import pytest

from models.history import best_epoch, read_history, write_history

ROWS = [
    {"epoch": 0, "train_loss": 2.0, "val_loss": 1.5, "val_accuracy": 0.5, "learning_rate": 1e-3},
    {"epoch": 1, "train_loss": 1.0, "val_loss": 1.25, "val_accuracy": 0.75, "learning_rate": 5e-4},
    {"epoch": 2, "train_loss": 0.5, "val_loss": 1.125, "val_accuracy": 0.75, "learning_rate": 0.0},
]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_history(tmp_path / "history.csv", ROWS)
    assert read_history(tmp_path / "history.csv") == ROWS
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_an_older_history_has_fewer_columns(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("epoch,train_loss,val_loss,val_accuracy\n0,2.0,,0.5\n")
    assert read_history(tmp_path / "history.csv") == [{"epoch": 0, "train_loss": 2.0, "val_accuracy": 0.5}]


def test_of_equally_accurate_epochs_that_of_the_lowest_loss_is_the_best() -> None:
    assert best_epoch(ROWS) == 2
    assert best_epoch(ROWS[:2]) == 1
    assert best_epoch([{**ROWS[1], "val_loss": 1.125}, ROWS[2]]) == 1  # and of equal ones the first
    with pytest.raises(ValueError, match="empty"):
        best_epoch([])

"""What happens around Lightning's epochs: the best one is kept, the history written, the weights averaged."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from torch import Tensor

from models.history import Epoch, History, write_history

BEST, LAST, HISTORY = "best.ckpt", "last.ckpt", "history.csv"

Tell = Callable[[Epoch, int, float], None]
"""Gets the epoch that ended, how many there will be, and the seconds it took."""


class Best(ModelCheckpoint):
    """Keeps the epoch of the highest validation accuracy, and of equal ones that of the lowest validation loss."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder, filename=Path(BEST).stem, monitor="val_accuracy", mode="max", enable_version_counter=False
        )
        self.lowest_loss = float("inf")

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        if current is None:
            return False
        loss = float(trainer.callback_metrics["val_loss"])
        accuracy, best = float(current), self.best_model_score
        better = best is None or accuracy > float(best) or (accuracy == float(best) and loss < self.lowest_loss)
        better = bool(trainer.strategy.reduce_boolean_decision(better))
        if better:
            self.lowest_loss = loss
        return better

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "lowest_loss": self.lowest_loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.lowest_loss = state_dict["lowest_loss"]
        super().load_state_dict(state_dict)


class Last(ModelCheckpoint):
    """The whole state after every epoch, to resume from; Lightning's `save_last` would copy the best."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder,
            filename=Path(LAST).stem,
            every_n_epochs=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    @property
    def state_key(self) -> str:
        # Two callbacks of one class need two keys; Lightning's has the monitored value, of which this has none.
        return "Last"


class Diary(Callback):
    """The history, row by row, as part of the state: what a resumed run did before is still in it."""

    def __init__(self, folder: Path, tell: Tell | None) -> None:
        self.folder, self.tell = folder, tell
        self.rows: History = []
        self._started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        row: Epoch = {"epoch": trainer.current_epoch}
        row |= {name: float(trainer.callback_metrics[name]) for name in ("train_loss", "val_loss", "val_accuracy")}
        # The head's: the first group's. It is the next step's by now, but for a schedule that has come to its end.
        row["learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        self.rows.append(row)
        if trainer.is_global_zero:
            write_history(self.folder / HISTORY, self.rows)
            if self.tell:
                self.tell(row, trainer.max_epochs or 0, time.monotonic() - self._started)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])


def averaging(decay: float) -> WeightAveraging:
    """Exponential moving average of weights and buffers, after every step; validated and kept in their place."""

    def average(averaged: list[Tensor], current: list[Tensor], steps: Tensor | int) -> None:
        # In a run of a few hundred steps the first weights would outweigh all that were learnt: the decay grows
        # with the steps, as in TensorFlow's ExponentialMovingAverage(num_updates).
        share = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, share)
        else:
            torch._foreach_copy_(averaged, current)

    return WeightAveraging(use_buffers=True, multi_avg_fn=torch.no_grad()(average))

"""Lightning's trainer, as a recipe wants it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from numpy.typing import NDArray
from torch import Tensor, nn

from bundle.manifest import Preprocess
from models.augment import Augment
from models.callbacks import BEST, LAST, Best, Diary, Last, Tell, averaging
from models.data import TrainingData
from models.datasets import Batches, feature_loader, picture_loader, start_processes
from models.errors import BatchNotDivisible, HardwareMissing, Interrupted, PictureLost
from models.features import features_of
from models.lasting import LastingCheckpointIO
from models.learner import Learner
from models.losses import balanced_weights
from models.measure import labels_of
from models.order import EvaluationOrder, Place, TrainingOrder
from models.recipe import HEAD, Recipe
from models.registry import Entry
from models.samples import Pictures
from models.stages import Stage, stages_of
from models.transfer import head_of, takes_features
from models.unfinished import best_so_far

TENSORBOARD = "tensorboard"

_PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


@dataclass(frozen=True)
class Conditions:
    """Where and how visibly a run takes place: nothing that its outcome depends on.

    devices: GPUs where there are some, else processes on the CPU; of each of `nodes` machines.
    tensorboard: write its event files into the run's folder. tell: hears of every epoch.
    """

    devices: int | Literal["auto"] = 1
    nodes: int = 1
    progress: bool = False
    tensorboard: bool = False
    tell: Tell | None = None


def leads() -> bool:
    """Whether this is the process that writes: the only one, or the first of several."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


@dataclass(frozen=True)
class Task:
    """A network to be trained, on what, as the recipe says."""

    recipe: Recipe
    entry: Entry
    network: nn.Module
    spec: Preprocess
    data: TrainingData

    @property
    def by_features(self) -> bool:
        """The frozen backbone gives every picture the same features in every epoch: the head alone is trained."""
        head = head_of(self.network, self.entry.head)
        return self.recipe.transfer == HEAD and not self.recipe.varies and takes_features(head)

    @property
    def trained(self) -> nn.Module:
        """What the learner holds: the network, or its head."""
        return head_of(self.network, self.entry.head) if self.by_features else self.network

    @property
    def class_counts(self) -> list[int]:
        counts = Counter(sample.label for sample in self.data.train.samples)
        return [counts[index] for index in range(len(self.data.classes))]

    def learner(self) -> Learner:
        stages = [Stage((self.trained,), 0)] if self.by_features else stages_of(self.network, self.entry, self.recipe)
        return Learner(self.trained, self.recipe, stages, self.class_counts, None if self.by_features else self.spec)


def fit(task: Task, folder: Path, out: Path, conditions: Conditions, *, resume: bool) -> None:
    """Train; afterwards `folder` has the best and the last state and the history.

    Raises: Diverged, Interrupted, HardwareMissing, BatchNotDivisible, PictureLost, CannotWrite.
    """
    recipe = task.recipe
    trainer = trainer_of(recipe, conditions, callbacks_of(recipe, folder, conditions.tell), folder)
    training, validation = loaders_of(task, trainer, folder)
    if task.by_features:
        # A layer of a thousand numbers is multiplied before a second thread has woken up.
        torch.set_num_threads(1)
    if resume:
        # Lightning lets a loader's processes read ahead before it says which epoch it is.
        training.sampler.set_epoch(epochs_of(folder / LAST))  # type: ignore[attr-defined]
    if trainer.world_size > 1 and not torch.cuda.is_available():
        # With a GPU the thread that pins memory, which comes with a loader's processes, would be worse for the other's.
        start_processes(training)
        start_processes(validation)
    try:
        trainer.fit(
            task.learner(),
            training,
            validation,
            ckpt_path=str(folder / LAST) if resume else None,
            weights_only=True,
        )
    except SystemExit as error:  # Lightning turns Ctrl-C and SIGTERM into exits of its own, SIGTERM's with code 0
        code = 143 if isinstance(error, SIGTERMException) else 130
        raise Interrupted(code, out, best_so_far(out)) from error
    except PictureLost as error:
        # From a loader's process it comes with that process's stack above it.
        raise PictureLost(str(error).strip().splitlines()[-1].partition("PictureLost: ")[2] or str(error)) from error


def epochs_of(state: Path) -> int:
    """How many epochs were done when the state was written."""
    return int(torch.load(state, map_location="cpu", weights_only=True, mmap=True)["epoch"]) + 1


def load_best(folder: Path, trained: nn.Module) -> int:
    """Give `trained` the weights of the best epoch, on the CPU; returns which it was, from 0."""
    best = torch.load(folder / BEST, map_location="cpu", weights_only=True)
    state = best["state_dict"]
    trained.to("cpu")
    prefix = "network."
    trained.load_state_dict({key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)})
    trained.requires_grad_(True)
    return int(best["epoch"])


def callbacks_of(recipe: Recipe, folder: Path, tell: Tell | None) -> list[Callback]:
    callbacks: list[Callback] = [Diary(folder, tell), Best(folder), Last(folder)]
    if recipe.ema:
        callbacks.append(averaging(recipe.ema))
    if recipe.patience:
        callbacks.append(EarlyStopping("val_accuracy", mode="max", patience=recipe.patience))
    return callbacks


def trainer_of(
    recipe: Recipe, conditions: Conditions, callbacks: Sequence[Callback], folder: Path, **more: Any
) -> Trainer:
    """Raises: HardwareMissing, BatchNotDivisible."""
    several = conditions.devices != 1 or conditions.nodes > 1
    if recipe.precision == "fp16" and not torch.cuda.is_available():
        raise HardwareMissing("precision=fp16 needs a GPU: say fp32 or bf16")
    try:
        trainer = lightning.Trainer(
            max_epochs=recipe.epochs,
            accelerator="auto",
            devices=conditions.devices,
            num_nodes=conditions.nodes,
            strategy=DDPStrategy() if several else "auto",
            precision=_PRECISIONS[recipe.precision],
            logger=_tensorboard(folder) if conditions.tensorboard else False,
            callbacks=list(callbacks),
            plugins=[LastingCheckpointIO()],
            gradient_clip_val=recipe.gradient_clip or None,
            sync_batchnorm=several and torch.cuda.is_available(),
            use_distributed_sampler=False,
            enable_progress_bar=conditions.progress,
            enable_model_summary=False,
            log_every_n_steps=1,
            deterministic="warn",
            num_sanity_val_steps=0,
            default_root_dir=folder,
            **more,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise HardwareMissing(str(error)) from error
    if recipe.batch_size % trainer.world_size:
        raise BatchNotDivisible(recipe.batch_size, trainer.world_size)
    return trainer


def loaders_of(task: Task, trainer: Trainer, folder: Path) -> tuple[Batches, Batches]:
    """(training, validation)."""
    recipe, data, place = task.recipe, task.data, Place(trainer.global_rank, trainer.world_size)
    counts = task.class_counts
    weights = None
    if recipe.sampling == "balanced":
        by_class = balanced_weights(counts)
        weights = [by_class[sample.label or 0] for sample in data.train.samples]
    order = TrainingOrder(len(data.train.samples), recipe.batch_size, recipe.seed, place, weights)
    every = EvaluationOrder(len(data.validation.samples), place)
    size = recipe.batch_size // place.world
    if task.by_features:

        def features(pictures: Pictures) -> tuple[NDArray[np.float32], Tensor]:
            path = folder / f"features-{pictures.split}-{place.rank}.npy"
            device = trainer.strategy.root_device
            return features_of(task.network, task.entry.head, task.spec, pictures, path, device), labels_of(pictures)

        return (
            feature_loader(*features(data.train), size, order),
            feature_loader(*features(data.validation), 256, every),
        )
    augment = Augment(recipe.augment, task.spec, flip=recipe.flip, smallest_crop=recipe.smallest_crop)
    return (
        picture_loader(data.train, augment, size, order, recipe.seed),
        picture_loader(data.validation, Augment("none", task.spec), size, every, recipe.seed),
    )


def _tensorboard(folder: Path) -> TensorBoardLogger:
    import tensorboard  # noqa: F401  (its absence is told as a missing extra)

    return TensorBoardLogger(folder, name="", version=TENSORBOARD)

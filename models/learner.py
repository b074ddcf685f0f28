"""The Lightning module: a network, its loss, its optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from bundle.manifest import Preprocess
from models.auxiliary import main_logits, total_loss
from models.datasets import UNCOUNTED
from models.errors import Diverged
from models.inference import Normalise
from models.losses import mixing, training_loss, validation_loss
from models.optimisation import optimizer_of, schedule_of
from models.order import seed_of
from models.recipe import Recipe
from models.stages import Stage, forget_frozen, set_training


class Learner(lightning.LightningModule):
    """Trains a network on uint8 pictures [N, H, W, 3], or a head alone on float32 features [N, F].

    preprocess: None for features. class_counts: pictures of the training part by class.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        stages: Sequence[Stage],
        class_counts: Sequence[int],
        preprocess: Preprocess | None,
    ) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.learning_rate = recipe.learning_rate
        """Where the learning-rate finder puts the rates that it tries."""
        self.normalise = Normalise(preprocess) if preprocess else nn.Identity()
        self.training_loss = training_loss(recipe, class_counts)
        self.validation_loss = validation_loss(recipe)
        self.mix = mixing(recipe, len(class_counts)) if preprocess else None
        self.accuracy = MulticlassAccuracy(num_classes=len(class_counts), average="micro", ignore_index=UNCOUNTED)
        self.mean_loss = MeanMetric()
        self._stages = list(stages)
        self._finite: Tensor | bool = True
        # Frozen for good at once: several processes agree at the start on what is trained.
        self._set_training(0, drop_gradients=True)
        self.train()  # until the first epoch begins: Lightning warns of modules that evaluate before

    def forward(self, inputs: Tensor) -> Tensor:
        return main_logits(self.network(self.normalise(inputs)))

    def on_train_epoch_start(self) -> None:
        epoch = self.current_epoch
        # Dropout and mixing draw from here: the same in a run that was resumed.
        torch.manual_seed(seed_of(self.recipe.seed, epoch, self.global_rank))
        self._finite = True
        self._set_training(epoch, drop_gradients=self.trainer.world_size > 1)

    def _set_training(self, epoch: int, *, drop_gradients: bool) -> None:
        set_training(self._stages, epoch, freeze_norm=self.recipe.freeze_norm, drop_gradients=drop_gradients)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        inputs, labels = batch
        images = self.normalise(inputs)
        targets = labels
        if self.mix is not None:
            images, targets = self.mix(images, labels)
        loss = total_loss(self.training_loss, self.network(images), targets)
        self._finite = self._finite & torch.isfinite(loss.detach())
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(labels), sync_dist=True)
        return loss

    def on_before_optimizer_step(self, _: Any) -> None:
        if self.trainer.world_size > 1:
            forget_frozen(self._stages, self.current_epoch)

    def on_validation_start(self) -> None:
        """Once an epoch, since asking a GPU for a number makes it wait. Raises: Diverged."""
        if not bool(self._finite):
            raise Diverged(self.current_epoch + 1, self.learning_rate)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        inputs, labels = batch
        logits = self(inputs).float()
        self.accuracy.update(logits, labels)
        counted = labels != UNCOUNTED
        if counted.any():
            self.mean_loss.update(self.validation_loss(logits[counted], labels[counted]), weight=counted.sum())

    def on_validation_epoch_end(self) -> None:
        self.log("val_loss", self.mean_loss, prog_bar=True)
        self.log("val_accuracy", self.accuracy, prog_bar=True)

    def configure_optimizers(self) -> Any:
        optimizer = optimizer_of(self.recipe, self._stages, self.learning_rate)
        schedule = schedule_of(self.recipe, optimizer, max(1, int(self.trainer.estimated_stepping_batches)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

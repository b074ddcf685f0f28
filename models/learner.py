"""The Lightning module: a network, its loss, its optimiser."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from bundle.manifest import Preprocess
from models.auxiliary import Outputs, main_logits, total_loss
from models.inference import Normalise
from models.recipe import Recipe
from models.transfer import freeze_backbone, head_of, set_frozen_eval


class Learner(lightning.LightningModule):
    """Trains on uint8 pictures [N, H, W, 3], or on float32 features [N, F] that go to the head alone."""

    def __init__(self, network: nn.Module, head: str, preprocess: Preprocess, recipe: Recipe, classes: int) -> None:
        super().__init__()
        self.network = network
        self.head = head
        self.recipe = recipe
        self.normalise = Normalise(preprocess)
        self.loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        self.accuracy = MulticlassAccuracy(num_classes=classes, average="micro")
        if recipe.transfer == "head":
            freeze_backbone(network, head)

    def forward(self, inputs: Tensor) -> Tensor:
        return main_logits(self._outputs(inputs))

    def _outputs(self, inputs: Tensor) -> Outputs:
        """Logits [N, K]; in training mode those of the auxiliary heads too, where the network has some."""
        if inputs.is_floating_point():
            outputs: Outputs = head_of(self.network, self.head)(inputs)
        else:
            outputs = self.network(self.normalise(inputs))
        return outputs

    def on_train_epoch_start(self) -> None:
        if self.recipe.transfer == "head":
            set_frozen_eval(self.network, self.head)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        inputs, labels = batch
        loss = total_loss(self.loss, self._outputs(inputs), labels)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(labels))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        inputs, labels = batch
        logits = self(inputs)
        self.accuracy(logits, labels)
        loss = nn.functional.cross_entropy(logits, labels)
        self.log("val_loss", loss, prog_bar=True, batch_size=len(labels))
        self.log("val_accuracy", self.accuracy, prog_bar=True, batch_size=len(labels))

    def configure_optimizers(self) -> Any:
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=self.recipe.learning_rate, weight_decay=self.recipe.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

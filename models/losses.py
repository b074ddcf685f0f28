"""What training minimises, and the mixing of pictures that needs soft labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from models.recipe import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits [N, K] and labels, int64 [N] or soft float32 [N, K] → scalar."""


class OneHotError(nn.Module):
    """Mean squared error between the outputs [N, K] and the label's one-hot vector (or its mixture of two)."""

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        if labels.ndim == 1:
            labels = nn.functional.one_hot(labels, outputs.shape[1])
        return nn.functional.mse_loss(outputs, labels.to(outputs.dtype))


def training_loss(recipe: Recipe, class_counts: Sequence[int]) -> nn.Module:
    """The recipe's loss. class_counts: pictures per class of the training part."""
    if recipe.loss == "mse":
        return OneHotError()
    weight = torch.tensor(balanced_weights(class_counts)) if recipe.class_weights == "balanced" else None
    return nn.CrossEntropyLoss(weight=weight, label_smoothing=recipe.label_smoothing)


def validation_loss(recipe: Recipe) -> nn.Module:
    """Without smoothing and weights, which would make the runs of two recipes incomparable."""
    return OneHotError() if recipe.loss == "mse" else nn.CrossEntropyLoss()


def balanced_weights(class_counts: Sequence[int]) -> list[float]:
    """pictures / (classes · pictures of the class): 1 for each where all are equal. As in scikit-learn's `balanced`."""
    total = sum(class_counts)
    return [total / (len(class_counts) * count) if count else 0.0 for count in class_counts]


def mixing(recipe: Recipe, classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """Pictures [N, 3, H, W] and int64 [N] → mixed ones and float32 [N, K]; None where the recipe does not mix."""
    kinds: list[nn.Module] = []
    if recipe.mixup:
        kinds.append(v2.MixUp(num_classes=classes, alpha=recipe.mixup))
    if recipe.cutmix:
        kinds.append(v2.CutMix(num_classes=classes, alpha=recipe.cutmix))
    if not kinds:
        return None
    return kinds[0] if len(kinds) == 1 else v2.RandomChoice(kinds)

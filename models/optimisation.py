"""The recipe's optimiser and the course of its learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from models.recipe import Recipe
from models.stages import Stage


def optimizer_of(recipe: Recipe, stages: Sequence[Stage], learning_rate: float) -> Optimizer:
    """Every stage that is ever trained, at its own rate; biases and norms without weight decay.

    Decay pulls weights to zero; a norm's scale and a bias have no reason to be there (He et al., "Bag of Tricks for
    Image Classification", 2018, section 3.1).
    """
    groups: list[dict[str, Any]] = []
    for stage in stages:
        if stage.first_epoch is None:
            continue
        rate = learning_rate * stage.factor
        for decays, decay in ((True, recipe.weight_decay), (False, 0.0)):
            chosen = [parameter for parameter in stage.parameters if _decays(parameter) is decays]
            if chosen:
                groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
    if recipe.optimizer == "sgd":
        momentum = recipe.momentum
        return torch.optim.SGD(groups, lr=learning_rate, momentum=momentum, nesterov=momentum > 0)
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=learning_rate, momentum=recipe.momentum)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=learning_rate)


def schedule_of(recipe: Recipe, optimizer: Optimizer, steps: int) -> LRScheduler:
    """The schedule over all `steps` of the run, advanced after each."""
    if recipe.schedule == "one_cycle":
        rates = [group["lr"] for group in optimizer.param_groups]
        return OneCycleLR(optimizer, max_lr=rates, total_steps=steps)
    return LambdaLR(optimizer, factor_of(recipe, steps))


def factor_of(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """Step → what the learning rate is multiplied with, 0..1."""
    an_epoch = steps / recipe.epochs
    warmup = round(recipe.warmup_epochs * an_epoch)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if recipe.schedule == "step":
            return recipe.step_factor ** sum(step >= round(epoch * an_epoch) for epoch in recipe.step_epochs)
        if recipe.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))

    return factor


def _decays(parameter: nn.Parameter) -> bool:
    return parameter.ndim > 1

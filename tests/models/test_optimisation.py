from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR

from models.optimisation import factor_of, optimizer_of, schedule_of
from models.recipe import Recipe, resolve_recipe
from models.stages import Stage


def recipe(**given: Any) -> Recipe:
    return resolve_recipe("lenet5", Path("x"), **{"epochs": 10, "learning_rate": 0.5, **given})


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def rates(schedule: Any, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def both(chosen: Recipe, reference: type, **options: Any) -> tuple[list[float], list[float]]:
    ours = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    theirs = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    return rates(schedule_of(chosen, ours, 100), ours, 100), rates(reference(theirs, **options), theirs, 100)


def test_cosine_is_torchs() -> None:
    ours, theirs = both(recipe(), CosineAnnealingLR, T_max=100)
    assert ours == pytest.approx(theirs)


def test_steps_are_torchs() -> None:
    chosen = recipe(schedule="step", step_epochs=[3, 6], step_factor=0.2)
    ours, theirs = both(chosen, MultiStepLR, milestones=[30, 60], gamma=0.2)
    assert ours == pytest.approx(theirs)


def test_one_cycle_rises_to_the_learning_rate_and_ends_near_zero() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5, momentum=0.9)
    found = rates(schedule_of(recipe(schedule="one_cycle"), optimizer, 100), optimizer, 100)
    assert max(found) == pytest.approx(0.5)
    assert 20 < found.index(max(found)) < 40
    assert found[0] < 0.05
    assert found[-1] < 1e-4


def test_a_warm_up_rises_in_even_steps_to_the_schedules_start() -> None:
    factor = factor_of(recipe(warmup_epochs=2), 100)
    assert [factor(step) for step in range(20)] == pytest.approx([(step + 1) / 21 for step in range(20)])
    assert factor(20) == 1
    assert factor(60) == pytest.approx(0.5)
    assert factor(99) == pytest.approx(0.5 * (1 + math.cos(math.pi * 79 / 80)))
    assert factor_of(recipe(schedule="constant", warmup_epochs=1), 100)(50) == 1


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "rmsprop"])
def test_every_optimizer_minimises(name: str) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 1)
    inputs = torch.randn(64, 3)
    target = inputs @ torch.tensor([[1.0], [-2.0], [0.5]])
    optimizer = optimizer_of(recipe(optimizer=name, weight_decay=0.0), [Stage((layer,), 0)], 0.02)
    for _ in range(300):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(layer(inputs), target)
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-2
    assert type(optimizer).__name__.lower() == name


def test_biases_and_norms_do_not_decay() -> None:
    layers = network()
    optimizer = optimizer_of(recipe(weight_decay=0.3), [Stage((layers,), 0)], 0.1)
    decays = {id(parameter): group["weight_decay"] for group in optimizer.param_groups for parameter in group["params"]}
    expected = {id(layers[0].weight): 0.3, id(layers[3].weight): 0.3}
    assert decays == {id(parameter): expected.get(id(parameter), 0.0) for parameter in layers.parameters()}


def test_lower_stages_learn_more_slowly_and_frozen_ones_not_at_all() -> None:
    layers = network()
    stages = [Stage((layers[3],), 0), Stage((layers[1],), 2, 0.5), Stage((layers[0],), None)]
    optimizer = optimizer_of(recipe(), stages, 0.1)
    found = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    assert found == {
        **{id(parameter): 0.1 for parameter in layers[3].parameters()},
        **{id(parameter): 0.05 for parameter in layers[1].parameters()},
    }

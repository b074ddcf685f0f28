"""Quantization-aware fine-tuning: the weights learn to give the same answers although everything is rounded.

The fp32 network's own probabilities are the goal, so no labels are needed and agreement is what is trained for
(Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bundle.errors import ConvoyError
from bundle.evidence import FineTuning
from bundle.preprocess import Pixels
from export.calibration import CalibrationPictures, calibration_pictures
from export.deployable import refuse_train_mode
from export.errors import RungSkipped
from export.evaluation import EvaluationSet
from export.fake_quantization import set_rounding, with_rounding
from models.checkpoint import Checkpoint
from models.inference import Normalise

BATCH = 32


@dataclass(frozen=True)
class Budget:
    """How far it may go: `epochs` times at most `pictures` of the training split, for they cost a processor's time.

    learning_rate: Adam's, falling to 0 by a cosine. The weights are good already: on EfficientNet-B0 ten times as much
    took the network farther from its own answers than the rounding does.
    """

    epochs: int = 3
    pictures: int = 1000
    learning_rate: float = 1e-5


@dataclass(frozen=True)
class Tuned:
    """The checkpoint with other weights, and how they came about."""

    checkpoint: Checkpoint
    record: FineTuning


def fine_tune(
    checkpoint: Checkpoint, evaluation: EvaluationSet, budget: Budget | None, largest_weight: int = 127
) -> Tuned:
    """Fine-tune a copy of the checkpoint's network on its own training split.

    budget: None where it is switched off. largest_weight: 127, or 64 where the target keeps a bit free.
    Raises: RungSkipped with the reason.
    """
    if budget is None:
        raise RungSkipped("switched off (--no-qat)")
    pictures = _pictures(checkpoint, evaluation, budget)
    network = copy.deepcopy(checkpoint.network)
    refuse_train_mode("int8", network)
    module = nn.Sequential(Normalise(checkpoint.manifest.preprocess), network)
    steps = _train(module, pictures.tensors, checkpoint.manifest.temperature, budget, largest_weight)
    record = FineTuning(
        epochs=budget.epochs,
        steps=steps,
        learning_rate=budget.learning_rate,
        pictures=pictures.record(evaluation.pictures, len(pictures.pictures.samples)),
    )
    return Tuned(Checkpoint(checkpoint.folder, network), record)


def _pictures(checkpoint: Checkpoint, evaluation: EvaluationSet, budget: Budget) -> CalibrationPictures:
    """Of the training split, none that the file is judged on."""
    if checkpoint.manifest.provenance.recipe is None:
        raise RungSkipped(f"no training pictures: {checkpoint.manifest.name} was not trained here")
    try:
        found = calibration_pictures(checkpoint.manifest, None, budget.pictures)
    except ConvoyError as error:
        raise RungSkipped(f"no training pictures: {error}") from error
    left = found.without(evaluation.pictures)
    if not left.pictures.samples:
        raise RungSkipped("no training pictures: all of them are evaluation pictures too")
    return left


def _train(module: nn.Module, tensors: Pixels, temperature: float, budget: Budget, largest_weight: int) -> int:
    """Change the module's parameters in place; returns the number of steps."""
    graph = with_rounding(module, torch.from_numpy(np.repeat(tensors[:1], 2, axis=0)), largest_weight)
    goals = _goals(module, tensors, temperature)
    parameters = [parameter for parameter in graph.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=budget.learning_rate)
    steps = budget.epochs * -(-len(tensors) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    order = np.random.default_rng(0)
    for epoch in range(budget.epochs):
        # In the last epoch the weights settle in ranges that no longer move.
        set_rounding(graph, following=epoch == 0 or epoch < budget.epochs - 1)
        for chosen in _batches(len(tensors), order):
            logits = graph(torch.from_numpy(tensors[chosen]))
            found = torch.log_softmax(logits / temperature, dim=1)
            loss = nn.functional.kl_div(found, goals[chosen], reduction="batchmean")
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    _copy_back(graph, module)
    return steps


@torch.no_grad()
def _goals(module: nn.Module, tensors: Pixels, temperature: float) -> Tensor:
    """The network's own probabilities, float32 [n, K]."""
    starts = range(0, len(tensors), BATCH)
    logits = torch.cat([module(torch.from_numpy(tensors[start : start + BATCH])) for start in starts])
    return torch.softmax(logits / temperature, dim=1)


def _batches(count: int, order: np.random.Generator) -> Iterator[np.ndarray]:
    mixed = order.permutation(count)
    return (mixed[start : start + BATCH] for start in range(0, count, BATCH))


@torch.no_grad()
def _copy_back(graph: nn.Module, module: nn.Module) -> None:
    """The graph's parameters are the module's by name; heads that only training has are in the module alone."""
    trained = dict(graph.named_parameters())
    for name, parameter in module.named_parameters():
        if name in trained:
            parameter.copy_(trained[name])

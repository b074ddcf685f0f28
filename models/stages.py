"""A pretrained network in stages, from the head back to the first layer: what `finetune` thaws one after another.

Discriminative learning rates and gradual unfreezing: Howard and Ruder, "Universal Language Model Fine-tuning for Text
Classification", 2018, section 3. What is trained is a function of the epoch alone, so that a resumed run goes on
exactly, and the optimiser knows every stage from the start. Lightning's BackboneFinetuning adds groups to the
optimiser on the way, which several processes would not keep in step: DDP knows only the parameters of its start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.recipe import FULL, HEAD, SCRATCH, Recipe
from models.registry import Entry
from models.transfer import present


@dataclass(frozen=True)
class Stage:
    """Modules that are trained from `first_epoch` on (None: never), with `factor` times the learning rate."""

    modules: tuple[nn.Module, ...]
    first_epoch: int | None
    factor: float = 1.0

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [parameter for module in self.modules for parameter in module.parameters()]

    def trained_in(self, epoch: int) -> bool:
        return self.first_epoch is not None and epoch >= self.first_epoch


def stages_of(network: nn.Module, entry: Entry, recipe: Recipe) -> list[Stage]:
    """The network's modules as the recipe's transfer trains them, in the order in which `set_training` goes."""
    if recipe.transfer in (FULL, SCRATCH):
        return [Stage((network,), 0)]
    if recipe.transfer == HEAD:
        # The head is in both: what is said of it last counts. The rest evaluates down to its last dropout.
        return [Stage((network,), None), Stage((network.get_submodule(entry.head),), 0)]
    auxiliary = [path.partition(".")[0] for path in present(network, entry.auxiliary)]
    heads = [entry.head, *auxiliary]
    blocks = [path for path in backbone_blocks(network, entry) if path not in auxiliary]
    between = _others(network, [*heads, *blocks])
    # Hidden layers of a classifier (VGG, AlexNet, MobileNetV3) lie between the last block and the head.
    parts = [part.tolist() for part in np.array_split(np.arange(len(blocks)), min(recipe.stages, max(1, len(blocks))))]
    stages = [Stage(tuple(network.get_submodule(path) for path in heads), 0)]
    for number, part in enumerate(reversed(parts), start=1):
        paths = [blocks[index] for index in part] + (between if number == 1 else [])
        stages.append(
            Stage(
                tuple(network.get_submodule(path) for path in paths),
                recipe.head_epochs + (number - 1) * recipe.stage_epochs,
                recipe.stage_factor**number,
            )
        )
    return stages


def backbone_blocks(network: nn.Module, entry: Entry) -> list[str]:
    """Dotted paths of the backbone's blocks with parameters, in the order of the computation."""
    blocks: list[str] = []
    for name in entry.backbone:
        module = network.get_submodule(name)
        inner = [f"{name}.{child}" for child, _ in module.named_children()] if _is_row(module) else [name]
        blocks += [path for path in inner if any(True for _ in network.get_submodule(path).parameters())]
    return blocks


def set_training(stages: list[Stage], epoch: int, *, freeze_norm: bool, drop_gradients: bool) -> None:
    """Put each stage into the mode of the epoch; frozen ones evaluate, so that their batch norms learn no statistics
    and their dropout drops nothing.

    drop_gradients: frozen parameters have gradients computed all the same (see `forget_frozen`).
    """
    for stage in stages:
        trained = stage.trained_in(epoch)
        for module in stage.modules:
            module.train(trained)
            if freeze_norm:
                _evaluate_norms(module)
        for parameter in stage.parameters:
            parameter.requires_grad_(trained or (drop_gradients and stage.first_epoch is not None))


def forget_frozen(stages: list[Stage], epoch: int) -> None:
    """Before a step of several processes: DDP knows only parameters that had gradients from the start, so those of
    stages which are still frozen are computed, and thrown away here."""
    for stage in stages:
        if stage.first_epoch is not None and not stage.trained_in(epoch):
            for parameter in stage.parameters:
                parameter.grad = None


def _is_row(module: nn.Module) -> bool:
    """A sequence of blocks, under whatever class: torchvision's `features`, ResNet's layers."""
    children = list(module.children())
    return isinstance(module, nn.Sequential) and sum(any(True for _ in child.parameters()) for child in children) > 1


def _others(network: nn.Module, known: list[str]) -> list[str]:
    """Paths of the modules that hold the parameters which no known path does."""
    found = []
    for path, module in network.named_modules():
        own = any(True for _ in module.parameters(recurse=False))
        if own and not any(path == one or path.startswith(f"{one}.") for one in known):
            found.append(path)
    return found


def _evaluate_norms(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.eval()

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.blank import build_blank
from models.recipe import Recipe
from models.registry import build, entries, find
from models.stages import Stage, backbone_blocks, forget_frozen, set_training, stages_of


def recipe(name: str, transfer: str = "finetune", **given: object) -> Recipe:
    settings = {"weights": "none" if transfer == "scratch" else "-", "augment": "none", "learning_rate": 1e-3}
    return Recipe.model_validate(
        {"arch": name, "data": "-", "transfer": transfer, "epochs": 9, "stages": 3, **settings, **given}
    )


@pytest.mark.parametrize("name", entries())
def test_finetune_has_every_parameter_in_one_stage(name: str) -> None:
    entry = find(name)
    network = build_blank(entry)
    stages = stages_of(network, entry, recipe(name))
    found = [id(parameter) for stage in stages for parameter in stage.parameters]
    assert len(found) == len(set(found))
    assert set(found) == {id(parameter) for parameter in network.parameters()}
    assert [stage.first_epoch for stage in stages] == [0, 2, 3, 4]
    assert [stage.factor for stage in stages] == pytest.approx([1, 0.3, 0.09, 0.027])
    assert entry.head in [path for path, module in network.named_modules() if module in stages[0].modules]
    assert all(stage.parameters for stage in stages)


@pytest.mark.parametrize(("name", "first", "last"), [
    ("resnet50", "conv1", "layer4.2"),
    ("mobilenet_v2", "features.0", "features.18"),
    ("googlenet", "conv1", "inception5b"),
    ("vgg16", "features.0", "features.28"),
    ("lenet5", "c1", "c5"),
])  # fmt: skip
def test_stages_go_from_the_head_to_the_first_layer(name: str, first: str, last: str) -> None:
    entry = find(name)
    network = build_blank(entry)
    blocks = backbone_blocks(network, entry)
    assert (blocks[0], blocks[-1]) == (first, last)
    _, upper, *_, lowest = stages_of(network, entry, recipe(name))
    assert network.get_submodule(last) in upper.modules
    assert network.get_submodule(first) in lowest.modules


def test_hidden_layers_of_a_classifier_are_thawed_with_the_last_blocks() -> None:
    network = build_blank(find("mobilenet_v3_large"))
    head, upper, *_ = stages_of(network, find("mobilenet_v3_large"), recipe("mobilenet_v3_large"))
    assert head.modules == (network.get_submodule("classifier.3"),)
    assert network.get_submodule("classifier.0") in upper.modules


def test_more_stages_than_blocks_are_as_many_as_there_are_blocks() -> None:
    network = build("lenet5", 3)
    assert len(stages_of(network, find("lenet5"), recipe("lenet5", stages=6))) == 1 + 3


@pytest.mark.parametrize("transfer", ["full", "scratch"])
def test_full_trains_everything_at_once(transfer: str) -> None:
    network = build("lenet5", 3)
    (stage,) = stages_of(network, find("lenet5"), recipe("lenet5", transfer))
    assert stage.trained_in(0)
    assert len(stage.parameters) == len(list(network.parameters()))


@pytest.mark.parametrize("epoch", range(6))
def test_frozen_stages_learn_neither_weights_nor_statistics(epoch: int) -> None:
    torch.manual_seed(0)
    entry = find("mobilenet_v3_small")
    network = build("mobilenet_v3_small", 3).train()
    stages = stages_of(network, entry, recipe("mobilenet_v3_small"))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    set_training(stages, epoch, freeze_norm=False, drop_gradients=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.randn(4, 3, 32, 32)).sum().backward()
    optimizer.step()
    after = network.state_dict()
    for stage in stages:
        for module in stage.modules:
            path = next(path for path, one in network.named_modules() if one is module)
            changed = [key for key in before if key.startswith(path + ".") and not torch.equal(before[key], after[key])]
            assert bool(changed) == stage.trained_in(epoch), path


def test_frozen_norms_keep_their_statistics_while_their_stage_learns() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    set_training([Stage((layers,), 0)], 0, freeze_norm=True, drop_gradients=False)
    layers(torch.randn(2, 3, 8, 8)).sum().backward()
    assert torch.equal(layers[1].running_mean, torch.zeros(4))
    assert layers[1].weight.grad is not None
    assert layers[0].training


def test_several_processes_compute_and_forget_frozen_gradients() -> None:
    head, lower, never = nn.Linear(3, 2), nn.Linear(3, 3), nn.Linear(3, 3)
    stages = [Stage((head,), 0), Stage((lower,), 4), Stage((never,), None)]
    set_training(stages, 1, freeze_norm=False, drop_gradients=True)
    head(lower(never(torch.ones(1, 3)))).sum().backward()
    assert lower.weight.grad is not None
    assert never.weight.grad is None
    forget_frozen(stages, 1)
    assert lower.weight.grad is None
    assert head.weight.grad is not None

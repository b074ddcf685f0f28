from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from models.auxiliary import main_logits, total_loss
from models.learner import Learner
from models.recipe import Recipe
from models.registry import find
from models.stages import stages_of
from models.transfer import present, replace_head
from tests.models.freezing import freeze_for_head

PIXELS = {"googlenet": 64, "inception_v3": 299}


def network_of(name: str, classes: int = 4) -> nn.Module:
    torch.manual_seed(0)
    entry = find(name)
    return entry.build(num_classes=classes, **entry.arguments)


def learner_of(name: str, network: nn.Module) -> Learner:
    recipe = Recipe(arch=name, data="-", transfer="scratch", augment="none", epochs=1, learning_rate=1e-3)
    entry = find(name)
    return Learner(network, recipe, stages_of(network, entry, recipe), [1, 1, 1, 1], entry.preprocess)


@pytest.mark.parametrize(("name", "weights"), [("googlenet", (0.3, 0.3)), ("inception_v3", (0.4,))])
def test_training_adds_the_discounted_losses(name: str, weights: tuple[float, ...]) -> None:
    network = network_of(name).train()
    pictures, labels = torch.rand(2, 3, PIXELS[name], PIXELS[name]), torch.tensor([1, 3])
    outputs = network(pictures)
    expected = cross_entropy(outputs.logits, labels)
    for weight, auxiliary in zip(weights, outputs[1:], strict=True):
        expected = expected + weight * cross_entropy(auxiliary, labels)
    loss = total_loss(cross_entropy, outputs, labels)
    torch.testing.assert_close(loss, expected)
    assert loss.item() > cross_entropy(outputs.logits, labels).item()
    loss.backward()
    for path in find(name).auxiliary:
        gradient = network.get_submodule(path).weight.grad
        assert gradient is not None
        assert float(gradient.abs().sum()) > 0


@pytest.mark.parametrize("name", PIXELS)
def test_the_learner_trains_all_heads_and_answers_with_one(name: str) -> None:
    learner = learner_of(name, network_of(name))
    pixels = torch.randint(0, 256, (2, PIXELS[name], PIXELS[name], 3), dtype=torch.uint8)
    learner.log = lambda *_, **__: None  # no trainer listens
    learner.training_step((pixels, torch.tensor([0, 2])), 0).backward()
    for path in find(name).auxiliary:
        assert learner.network.get_submodule(path).weight.grad is not None
    learner.eval()
    with torch.no_grad():
        answers = learner(pixels)
    assert isinstance(answers, torch.Tensor)
    assert answers.shape == (2, 4)


def test_plain_networks_have_a_plain_loss() -> None:
    logits, labels = torch.randn(3, 5), torch.tensor([0, 4, 2])
    assert main_logits(logits) is logits
    torch.testing.assert_close(total_loss(cross_entropy, logits, labels), cross_entropy(logits, labels))


@pytest.mark.parametrize("name", PIXELS)
def test_auxiliary_heads_follow_the_number_of_classes(name: str) -> None:
    entry, network = find(name), network_of(name, 10)
    replace_head(network, entry.head, 3, entry.auxiliary)
    outputs = network.train()(torch.rand(2, 3, PIXELS[name], PIXELS[name]))
    assert [tuple(output.shape) for output in outputs] == [(2, 3)] * len(outputs)


@pytest.mark.parametrize("name", PIXELS)
def test_a_frozen_network_gives_plain_logits_and_learns_its_head_only(name: str) -> None:
    entry, network = find(name), network_of(name)
    freeze_for_head(network, entry)
    assert isinstance(network(torch.rand(1, 3, 96, 96)), torch.Tensor)
    trainable = [key for key, parameter in network.named_parameters() if parameter.requires_grad]
    assert trainable == [f"{entry.head}.weight", f"{entry.head}.bias"]


def test_networks_built_without_auxiliary_heads() -> None:
    entry = find("googlenet")
    network = entry.build(num_classes=4, aux_logits=False)
    assert present(network, entry.auxiliary) == []
    replace_head(network, entry.head, 2, entry.auxiliary)
    assert network.eval()(torch.rand(1, 3, 64, 64)).shape == (1, 2)

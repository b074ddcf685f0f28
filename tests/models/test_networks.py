"""Every architecture forwards, backwards and takes another head; shapes on the meta device, numbers on the smallest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models.auxiliary import main_logits, total_loss
from models.blank import build_blank
from models.describe import input_pixels
from models.recipe import resolve_recipe
from models.registry import entries, find
from models.train import train
from models.transfer import classes_of, head_of, replace_head, takes_features
from models.weights import load_network
from tests.models.freezing import freeze_for_head

NAMES = tuple(entries())

SMALL = (
    *("lenet5", "alexnet", "vgg11_bn", "googlenet", "resnet18", "densenet121", "squeezenet1_1", "resnext50_32x4d"),
    *("mobilenet_v1_025", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5"),
    *("efficientnet_b0", "regnet_y_400mf", "convnext_tiny"),
)
"""The smallest of every family, run with numbers."""


def other_size(name: str) -> int:
    """Not its own, and larger: Inception's auxiliary head needs 299 in training."""
    return input_pixels(find(name)) + 32


@pytest.mark.parametrize("name", NAMES)
def test_forward_and_backward_at_two_sizes(name: str) -> None:
    entry = find(name)
    network = build_blank(entry, 7).train()
    for size in (input_pixels(entry), other_size(name)):
        network.zero_grad()
        outputs = network(torch.empty(2, 3, size, size, device="meta"))
        assert main_logits(outputs).shape == (2, 7)
        total_loss(nn.functional.cross_entropy, outputs, torch.zeros(2, dtype=torch.long, device="meta")).backward()
        without = [key for key, parameter in network.named_parameters() if parameter.grad is None]
        assert without == []


@pytest.mark.parametrize("name", SMALL)
def test_numbers_at_its_own_size(name: str) -> None:
    torch.manual_seed(0)
    entry = find(name)
    network = entry.build(num_classes=5, **entry.arguments).train()
    size = input_pixels(entry)
    outputs = network(torch.randn(2, 3, size, size))
    loss = total_loss(nn.functional.cross_entropy, outputs, torch.tensor([1, 4]))
    loss.backward()
    assert torch.isfinite(loss)
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
    with torch.no_grad():
        answers = network.eval()(torch.randn(3, 3, other_size(name), other_size(name)))
    assert answers.shape == (3, 5)
    assert torch.isfinite(answers).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_new_head_alone_is_trainable(name: str) -> None:
    entry = find(name)
    network = build_blank(entry)
    backbone = list(network.parameters())
    # The new layers have numbers: the rest goes through on the meta device only after they join it.
    replace_head(network, entry.head, 6, entry.auxiliary)
    network.to("meta")
    freeze_for_head(network, entry)
    trainable = {key: parameter for key, parameter in network.named_parameters() if parameter.requires_grad}
    assert set(trainable) == {f"{entry.head}.weight", f"{entry.head}.bias"}
    assert all(new is not old for new in trainable.values() for old in backbone)
    assert classes_of(head_of(network, entry.head)) == 6
    size = input_pixels(entry)
    assert network.eval()(torch.empty(1, 3, size, size, device="meta")).shape == (1, 6)


def test_squeezenets_head_is_a_convolution_that_gives_no_cached_features() -> None:
    network = build_blank(find("squeezenet1_1"))
    assert not takes_features(head_of(network, "classifier.1"))
    assert takes_features(head_of(build_blank(find("alexnet")), "classifier.6"))


@pytest.mark.parametrize("name", ["squeezenet1_1", "mnasnet0_5"])
def test_weights_from_a_file_and_a_new_head(name: str, colours: Path, tmp_path: Path) -> None:
    """SqueezeNet's head is no linear layer; MNASNet's modules ask for versions that safetensors has no place for."""
    torch.manual_seed(0)
    entry = find(name)
    network = entry.build(num_classes=11).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    loaded = load_network(entry, str(tmp_path / "weights.safetensors"))
    picture = torch.rand(1, 3, 64, 64)
    assert loaded.classes == 11
    with torch.no_grad():
        torch.testing.assert_close(loaded.network.eval()(picture), network(picture))
    small = entry.preprocess.model_copy(update={"resize": 48, "crop": 48})
    recipe = resolve_recipe(
        name, colours, weights=str(tmp_path / "weights.safetensors"), epochs=1, preprocess=small, batch_size=12
    )
    trained = train(recipe, tmp_path / "run")
    assert 0 <= trained.metrics.top1 <= 1
    assert frozen_parts_are_equal(network, tmp_path / "run", entry.head)


def frozen_parts_are_equal(network: nn.Module, run: Path, head: str) -> bool:
    from models.checkpoint import load_checkpoint

    after: dict[str, Tensor] = load_checkpoint(run).network.state_dict()
    before = network.state_dict()
    return all(torch.equal(before[key], after[key]) for key in before if not key.startswith(head + "."))

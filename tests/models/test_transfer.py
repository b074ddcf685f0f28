from __future__ import annotations

import pytest
import torch
from torch import nn

from models.registry import build, entries, find
from models.transfer import classes_of, head_of, headless, replace_head
from tests.models.freezing import freeze_for_head


@pytest.mark.parametrize("name", entries())
def test_every_head_is_where_the_registry_says(name: str) -> None:
    with torch.device("meta"):
        network = build(name, 11)
    assert classes_of(head_of(network, find(name).head)) == 11
    assert classes_of(replace_head(network, find(name).head, 5, find(name).auxiliary)) == 5


@pytest.mark.parametrize("name", entries())
def test_only_the_head_learns_after_freezing(name: str) -> None:
    with torch.device("meta"):
        network = build(name, 4)
    head = find(name).head
    freeze_for_head(network, find(name))
    trainable = [key for key, parameter in network.named_parameters() if parameter.requires_grad]
    assert trainable == [f"{head}.weight", f"{head}.bias"]
    learning = [module for module in network.modules() if module.training]
    assert learning == [head_of(network, head)]


def test_the_features_are_what_the_head_sees() -> None:
    torch.manual_seed(0)
    network = build("mobilenet_v3_small", 6).eval()
    head = find("mobilenet_v3_small").head
    picture = torch.rand(2, 3, 64, 64)
    with torch.no_grad(), headless(network, head) as backbone:
        features = backbone(picture)
    with torch.no_grad():
        torch.testing.assert_close(head_of(network, head)(features), network(picture))


def test_the_head_comes_back_after_an_error() -> None:
    network = build("lenet5", 3)
    with pytest.raises(RuntimeError, match="inside"), headless(network, "output"):
        raise RuntimeError("inside")
    assert isinstance(network.output, nn.Linear)

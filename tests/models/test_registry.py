from __future__ import annotations

import pytest
import torch

from models.errors import UnknownArchitecture
from models.registry import build, entries, find, register


@pytest.mark.parametrize("name", entries())
def test_every_entry_has_its_published_parameters(name: str) -> None:
    entry = find(name)
    with torch.device("meta"):
        network = build(name, entry.classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == entry.parameters


@pytest.mark.parametrize("name", entries())
def test_every_entry_takes_its_own_input(name: str) -> None:
    entry = find(name)
    with torch.device("meta"):
        network = build(name, 9).eval()
        crop = entry.preprocess.crop
        assert network(torch.empty(2, 3, crop, crop)).shape == (2, 9)


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="'lenet5' is registered twice"):
        register(find("lenet5"))


def test_an_unknown_name_lists_the_near_ones() -> None:
    with pytest.raises(UnknownArchitecture, match=r"'mobilenetv2' \(near: mobilenet_v2"):
        find("mobilenetv2")

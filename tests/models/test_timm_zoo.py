"""timm is an optional extra: without it one clear line, with it the real library."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from models.blank import build_blank, count_parameters
from models.checkpoint import Facts, load_checkpoint, write_checkpoint
from models.describe import describe
from models.errors import NoSingleHead, UnknownTimm
from models.registry import find
from models.transfer import replace_head
from tests.models.freezing import freeze_for_head

installed = importlib.util.find_spec("timm") is not None
needs_timm = pytest.mark.skipif(not installed, reason="the optional extra timm is not installed")


@pytest.mark.skipif(installed, reason="timm is installed")
def test_without_the_extra_the_module_is_named() -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        find("timm/resnet18")
    assert caught.value.name == "timm"


@needs_timm
def test_timm_agrees_with_the_zoo() -> None:
    entry = find("timm/mobilenetv1_100")
    assert (entry.parameters, entry.head) == (4_231_976, "classifier")
    assert describe(entry.name).macs == describe("mobilenet_v1").macs
    assert find("timm/resnet18").parameters == find("resnet18").parameters


@needs_timm
def test_timm_networks_travel_in_checkpoints(tmp_path: Path) -> None:
    from bundle.manifest import Provenance

    entry = find("timm/resnet10t")
    torch.manual_seed(0)
    network = entry.build(num_classes=entry.classes).eval()
    replace_head(network, entry.head, 3)
    freeze_for_head(network, entry)
    facts = Facts("tiny", ("a", "b", "c"), entry.preprocess, Provenance(), arguments=entry.arguments)
    write_checkpoint(tmp_path, entry, network, facts)
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(load_checkpoint(tmp_path).network(picture), network(picture))


@needs_timm
def test_what_timm_has_not() -> None:
    with pytest.raises(UnknownTimm, match=r"'resnet18x' \(near: resnet18"):
        find("timm/resnet18x")
    with pytest.raises(NoSingleHead, match="head_dist"):
        find("timm/deit_tiny_distilled_patch16_224")


@needs_timm
def test_blank_timm_networks_take_no_memory() -> None:
    network = build_blank(find("timm/convnext_large"))
    assert count_parameters(network) > 190e6
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}

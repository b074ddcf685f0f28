from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from bundle.manifest import Provenance
from models.blank import build_blank, count_parameters, without_numbers
from models.checkpoint import Facts, load_checkpoint, write_checkpoint
from models.describe import describe
from models.efficientnet import (
    ALPHA,
    BETA,
    COEFFICIENTS,
    GAMMA,
    build_scaled,
    compound_scaling,
    scaled,
    scaling_table,
)
from models.errors import ScalingOutOfRange
from models.registry import find


@pytest.mark.parametrize("phi", range(8))
def test_the_table_is_the_power_law(phi: int) -> None:
    row = scaling_table()[phi]
    assert row.phi == phi
    assert row.depth == pytest.approx(1.2**phi, rel=1e-12)
    assert row.width == pytest.approx(1.1**phi, rel=1e-12)
    assert row.resolution == pytest.approx(224 * 1.15**phi, rel=1e-12)
    assert row.pixels == round(224 * 1.15**phi)
    assert row.cost == pytest.approx((ALPHA * BETA**2 * GAMMA**2) ** phi)


def test_a_step_about_doubles_the_cost() -> None:
    assert pytest.approx(2, abs=0.1) == ALPHA * BETA**2 * GAMMA**2


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_the_published_coefficients_give_torchvisions_networks(name: str) -> None:
    width, depth, _ = COEFFICIENTS[name]
    entry = find(name)
    with without_numbers():
        ours = build_scaled(width=width, depth=depth)
    theirs = build_blank(entry)
    assert count_parameters(ours) == count_parameters(theirs) == entry.parameters
    assert {key: value.shape for key, value in ours.state_dict().items()} == {
        key: value.shape for key, value in theirs.state_dict().items()
    }


def test_phi_zero_is_b0() -> None:
    assert describe("efficientnet/0").parameters == find("efficientnet_b0").parameters
    assert describe("efficientnet/0").macs == describe("efficientnet_b0").macs


@pytest.mark.parametrize("phi", [0.5, 1, 2.5, math.pi, 7])
def test_any_phi_gives_a_network_of_the_estimated_cost(phi: float) -> None:
    found = describe(f"efficientnet/{phi}")
    assert found.pixels == compound_scaling(phi).pixels
    ratio = found.macs / describe("efficientnet/0").macs
    # Layers are rounded up and maps to multiples of 8: more than the estimate, never less than its half.
    assert 0.9 * compound_scaling(phi).cost < ratio < 1.5 * compound_scaling(phi).cost


@pytest.mark.parametrize("phi", [-0.1, 10.5, math.nan, math.inf])
def test_phi_out_of_range(phi: float) -> None:
    with pytest.raises(ScalingOutOfRange, match="expected a number from 0 to 10"):
        compound_scaling(phi)


def test_a_name_that_is_no_number() -> None:
    with pytest.raises(ScalingOutOfRange, match="exponent is b0:"):
        find("efficientnet/b0")


def test_a_scaled_network_comes_back_from_its_checkpoint(tmp_path: Path) -> None:
    entry = find("efficientnet/0.3")
    torch.manual_seed(0)
    network = scaled(3, phi=0.3).eval()
    write_checkpoint(tmp_path, entry, network, Facts("odd", ("a", "b", "c"), entry.preprocess, Provenance()))
    again = load_checkpoint(tmp_path)
    assert again.manifest.architecture.arguments == {"phi": 0.3, "num_classes": 3}
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(again.network(picture), network(picture))

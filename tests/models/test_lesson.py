"""The teaching headers: their numbers are the ones that one gets by hand."""

from __future__ import annotations

import pytest

from models.counts import (
    bottlenecks,
    factorised,
    runs_of_3x3,
    separable_pairs,
    standard_macs,
    unfactorised_macs,
    unreduced_macs,
)
from models.describe import describe
from models.lesson import lesson_of
from models.registry import entries


def figures(name: str) -> dict[str, str]:
    lesson = lesson_of(describe(name))
    assert lesson is not None
    return dict(lesson.figures)


@pytest.mark.parametrize("name", entries())
def test_every_entry_has_a_lesson_of_two_sentences(name: str) -> None:
    lesson = lesson_of(describe(name))
    assert lesson is not None
    assert lesson.idea.count(". ") + 1 == 2
    assert len(lesson.figures) >= 2
    assert all(what and figure for what, figure in lesson.figures)


def test_vgg_three_small_against_one_large() -> None:
    found = figures("vgg16")
    assert found["3 × 3×3 on 512 maps"].startswith("7.08 M weights")  # 27 · 512² = 7,077,888
    assert found["one 7×7 on 512 maps"].startswith("12.8 M weights")  # 49 · 512² = 12,845,056
    assert found["saved"] == "44.9%"  # 1 - 27/49
    assert max(len(run) for run in runs_of_3x3(describe("vgg16"))) == 3
    # Three of them see 7 pixels of their input, as the lesson says.
    run = max(runs_of_3x3(describe("vgg16")), key=len)
    jump = (run[2].field[0] - run[1].field[0]) // 2
    before = run[0].field[0] - 2 * jump
    assert (run[2].field[0] - before) // jump + 1 == 7


def test_googlenet_what_a_bottleneck_saves() -> None:
    pairs = bottlenecks(describe("googlenet"))
    assert len(pairs) == 18  # two in each of nine modules
    narrow, wide = pairs[0]
    assert (narrow.name, wide.name) == ("inception3a.branch2.0.conv", "inception3a.branch2.1.conv")
    assert narrow.macs == 28 * 28 * 192 * 96
    assert wide.macs == 28 * 28 * 96 * 128 * 9
    assert unreduced_macs(narrow, wide) == 28 * 28 * 192 * 128 * 9
    assert "6.38 M parameters" in figures("googlenet")["auxiliary heads, in training"]


def test_squeezenet_and_resnet_have_bottlenecks_too() -> None:
    assert len(bottlenecks(describe("squeezenet1_0"))) == 8
    assert len(bottlenecks(describe("resnet50"))) == 16 - 1  # the first block reads 64 maps and keeps 64


def test_inception_factorises() -> None:
    pairs = factorised(describe("inception_v3"))
    assert len(pairs) == 13
    assert {tuple(sorted(first.window.kernel)) for first, _ in pairs if first.window} == {(1, 7)}
    first, second = pairs[0]
    assert first.macs == 17 * 17 * 128 * 128 * 7
    assert unfactorised_macs(first, second) == 17 * 17 * 128 * 192 * 49


def test_resnet_with_and_without_the_skip() -> None:
    found = figures("resnet50")
    assert found["without the skips: layers between picture and answer"] == "50, on one way only"
    assert found["with them"] == "6 to 50 layers, on 2^16 = 65,536 ways"
    assert "4 projections" in found["what 16 skips cost"]


@pytest.mark.parametrize(("name", "pairs"), [("mobilenet_v1", 13), ("mobilenet_v2", 17), ("mobilenet_v3_large", 15)])
def test_mobilenet_separable_against_standard(name: str, pairs: int) -> None:
    found = separable_pairs(describe(name))
    assert len(found) == pairs
    for depthwise, pointwise in found:
        kernel = depthwise.window.kernel[0] if depthwise.window else 0
        ratio = (depthwise.macs + pointwise.macs) / standard_macs(depthwise, pointwise)
        # Equation in section 3.1 of the paper.
        assert ratio == pytest.approx(1 / pointwise.output[0] + 1 / kernel**2)
    if name == "mobilenet_v1":
        assert figures(name)["all 13 depthwise-separable pairs"] == "557 M instead of 4.86 G: 8.7 times less"


def test_efficientnet_prints_its_table() -> None:
    found = figures("efficientnet_b0")
    for phi in range(8):
        row = found[f"φ = {phi}"]
        assert f"depth {1.2**phi:.3f}, width {1.1**phi:.3f}, resolution {224 * 1.15**phi:.1f}" in row


def test_lenet_shares_its_weights() -> None:
    found = figures("lenet5")
    assert found["c1 as a convolution, 1×32×32 → 6×28×28"] == "156 parameters"
    assert found["the same maps from a dense layer"] == "4.82 M parameters, 30,907 times"  # 1,025 · 4,704


def test_densenet_connections() -> None:
    assert figures("densenet121")["connections between 58 layers"].startswith("535,")  # 21 + 78 + 300 + 136

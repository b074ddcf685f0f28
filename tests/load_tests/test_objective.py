"""What `--slo` says, and whether it was kept."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.errors import ObjectiveInvalid
from load_tests.objective import Limit, Objective, parse

NAMES = st.one_of(st.sampled_from(["mean", "max", "p99.9"]), st.integers(1, 99).map(lambda percent: f"p{percent}"))
TIMES = st.tuples(st.integers(1, 99_999), st.sampled_from([("us", 1e-6), ("ms", 1e-3), ("s", 1.0)]))


@given(st.dictionaries(NAMES, TIMES, max_size=5), st.one_of(st.none(), st.integers(0, 1000)))
def test_what_is_written_is_read(limits: dict[str, tuple[int, tuple[str, float]]], permille: int | None) -> None:
    parts = [f"{name}={number}{unit}" for name, (number, (unit, _)) in limits.items()]
    parts += [] if permille is None else [f"errors={permille / 10}%"]
    if not parts:
        return
    found = parse(" , ".join(parts))
    assert [limit.name for limit in found.limits] == list(limits)
    assert [limit.most for limit in found.limits] == pytest.approx([n * scale for n, (_, scale) in limits.values()])
    assert found.errors == pytest.approx((permille or 0) / 1000)


@given(st.text(max_size=30))
def test_any_other_text_is_one_clear_error(text: str) -> None:
    try:
        parse(text)
    except ObjectiveInvalid as error:
        assert "expected something like p95=100ms,errors=0.1%" in str(error)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("p95", "has no value"),
        ("p95=100", "not a time with its unit"),
        ("p95=0ms", "not a time"),
        ("p95=1e3ms", "not a time"),
        ("p95=-1ms", "not a time"),
        ("p100=1ms", "is none of"),
        ("speed=1ms", "is none of"),
        ("errors=2", "not a share"),
        ("errors=101%", "not a share"),
        ("errors=few", "not a share"),
        ("p95=1ms,p95=2ms", "there twice"),
        ("errors=0,errors=1%", "there twice"),
        ("", "is empty"),
        (" ", "is empty"),
        ("p0=1s", "is none of"),
        ("errors=1", "would be every request"),
        ("p95=1ms,", "has no value"),
    ],
)
def test_what_is_wrong_is_said(text: str, reason: str) -> None:
    with pytest.raises(ObjectiveInvalid, match=reason):
        parse(text)


@dataclass
class Fixed:
    seconds: float | None
    error_share: float = 0.0
    due: int = 1000

    def latency(self, name: str) -> float | None:
        return self.seconds


def test_misses_are_named_with_their_figures() -> None:
    objective = Objective((Limit("p95", 0.1),), 0.001)
    assert objective.misses(Fixed(0.1, 0.001)) == []
    assert objective.misses(Fixed(0.1004, 0.002)) == ["p95 100.4 ms > 100 ms", "errors 0.2 % > 0.1 %"]
    assert objective.misses(Fixed(None, 1.0))[0] == "p95: no right answer"
    assert objective.misses(Fixed(None, 1.0, 0)) == ["no request was due: a longer load is needed"]
    assert str(objective) == "p95 ≤ 100 ms, errors ≤ 0.1 %"


def test_without_a_word_no_error_is_allowed() -> None:
    assert parse("p95=1s").misses(Fixed(0.5, 1e-6)) == ["errors 0.0001 % > 0 %"]

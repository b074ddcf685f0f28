"""scripts/phone_time.py: what becomes of the rounds and of the runtime's own profile."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPTS / "phone_time.py"))


@pytest.fixture(scope="module")
def sections() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPTS / "phone_sections.py"))


def stages(infer: float) -> dict[str, float]:
    return {"decode": 1.0, "preprocess": 2.0, "infer": infer}


def test_the_first_rounds_do_not_count_and_the_ratio_is_paired(script: dict[str, Any]) -> None:
    warm = script["WARM_UP"]
    fp32 = [stages(1000.0)] * warm + [stages(value) for value in (10.0, 20.0, 60.0)]
    int8 = [stages(1.0)] * warm + [stages(value) for value in (20.0, 40.0, 30.0)]
    found = script["_summary"]({"threads": 1, "rounds": {"fp32": fp32, "int8": int8}})
    assert found["ms"]["fp32"] == {"infer_median": 20.0, "infer_least": 10.0, "all_median": 23.0}
    assert found["ms"]["int8"]["infer_median"] == 30.0
    assert found["int8_speed_of_fp32"] == 0.5


def test_convolutions_are_told_apart_by_the_models_groups(script: dict[str, Any], sections: dict[str, Any]) -> None:
    def event(name: str, operator: str, dur: int) -> dict[str, Any]:
        return {"name": f"{name}_kernel_time", "dur": dur, "args": {"op_name": operator}}

    once = [
        event("conv_1_token_4", "QLinearConv", 4000),
        event("conv_10_token_5", "QLinearConv", 2000),
        event("cast", "Cast", 500),
    ]
    warm = [{**one, "dur": 900_000} for one in once] * script["WARM_UP"]
    kinds = script["_by_kind"](warm + once * 3, {"conv_1"})
    assert kinds == {
        "QLinearConv, depthwise": {"nodes": 1, "ms": 4.0},
        "QLinearConv, dense": {"nodes": 1, "ms": 2.0},
        "Cast": {"nodes": 1, "ms": 0.5},
    }
    assert sections["_grouped"](kinds) == {
        "depthwise convolutions": (1, 4.0),
        "dense convolutions": (1, 2.0),
        "everything else": (1, 0.5),
    }


@pytest.mark.parametrize(("load", "said"), [(0.1, False), (3.0, True)])
def test_busy_cores_are_said_beside_the_times(sections: dict[str, Any], load: float, said: bool) -> None:
    ms = {name: {"infer_median": 10.0} for name in ("fp32", "int8")}
    page = [{"threads": 1, "ms": ms, "int8_speed_of_fp32": 1.0}]
    time = {"load_before": load, "page": page, "profile": {"kinds": {"fp32": {}, "int8": {}}}}
    assert ("beside other work" in sections["time_section"](time)) is said

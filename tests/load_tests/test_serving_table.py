"""What docs/performance.md says of serving is what docs/measured holds."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from scripts.overload_benchmark import Knee, of_rounds, soak_on_record
from scripts.overload_table import overload_section
from scripts.peers_plot import plot
from scripts.serving_table import (
    PAGE,
    PLOT,
    UNMEASURED,
    grouped,
    limit_section,
    measured_peers,
    peers_section,
    replaced,
    together_section,
    written,
)


def server(rate: float, limit: float, **changes: Any) -> dict[str, Any]:
    return {
        "images_per_second": rate,
        "share_of_limit": rate / limit,
        "p50_ms": 1000 / rate,
        "p99_ms": 2000 / rate,
        "cpu_ms_per_answer": 9.55,
        "refused": 0,
        "errors": 0,
        "wrong_answers": 0,
        "generator_share_of_cores": 0.021,
        **changes,
    }


def row(connections: int, **changes: Any) -> dict[str, Any]:
    about = {
        "serves": "onnx",
        "has": "2 workers",
        "request": "raw body",
        "versions": {"litserve": "0.2"},
        "paused_between_turns": False,
    }
    return {
        "model": "net",
        "connections": connections,
        "date": "2026-11-24T22:20:00+00:00",
        "machine": "A processor",
        "cores": 2,
        "rounds": 5,
        "seconds": 3.0,
        "command": "python -m scripts.peers_benchmark net",
        "limits_images_per_second": {"onnx": 100.0, "onnx-int8": 250.0},
        "servers": {
            "convoy": server(90, 100),
            "convoy-auto": server(225, 100),
            "litserve": server(60, 100, errors=2),
            "fastapi": server(75, 100),
        },
        "left_out": {},
        "best_peer": "fastapi",
        "ratio_to_best_peer": {"convoy": 1.2, "convoy-auto": 3.0},
        "about": {"convoy-auto": {**about, "serves": "onnx-int8"}, "litserve": {**about, "paused_between_turns": True}},
        **changes,
    }


def test_the_page_is_what_was_measured() -> None:
    page = PAGE.read_text()
    assert page == written(page)


def test_the_drawing_is_what_was_measured() -> None:
    rows = measured_peers()
    assert PLOT.is_file() == bool(rows)
    if rows:
        assert PLOT.read_text() == plot(grouped(rows))


def test_the_table_has_every_server_and_marks_the_best_peer() -> None:
    text = peers_section([row(32), row(8)])
    assert "| server | 8 conn. | 32 conn. |" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.split(" | ")[0] for line in lines[2:10]] == [
        "| limit of `onnx`",
        "| limit of `onnx-int8`",
        "| convoy-auto",
        "| convoy",
        "| fastapi",
        "| litserve",
        "| convoy-auto to the best peer",
        "| convoy to the best peer",
    ]
    assert "| fastapi | **75.0 (75 %)** | **75.0 (75 %)** | 13; 27 / 13; 27 | 9.6 / 9.6 | 0 | 0 | 0 |" in text
    assert "| litserve | 60.0 (60 %) | 60.0 (60 %) | 17; 33 / 17; 33 | 9.6 / 9.6 | 0 | 4 | 0 |" in text
    assert "| convoy to the best peer | 1.20 | 1.20 |" in text
    assert "| convoy-auto to the best peer | 3.00 | 3.00 |" in text
    assert "| convoy-auto | `onnx-int8` | 2 workers | raw body | litserve 0.2 |" in text
    assert "took at most 2.1 % of them" in text
    assert "2 workers; paused while others are measured: it polls" in text
    assert "medians of 5 rounds of 3 s. " in text


def test_longer_turns_are_named() -> None:
    text = peers_section([row(8, turn_seconds=3.0), row(64, turn_seconds=10.2)])
    assert "5 rounds of 3 s (up to 10.2 s where" in text
    text = peers_section([row(8, seconds=2.0, turn_seconds=2.0), row(64, seconds=3.0)])
    assert "medians of 5 rounds of 2 s or 5 rounds of 3 s. " in text


def test_a_server_that_was_left_out_is_named_with_its_reason() -> None:
    without = row(8, left_out={"fastapi": "fastapi: no port"})
    del without["servers"]["fastapi"]
    text = peers_section([row(1), without])
    assert "| fastapi | **75.0 (75 %)** | - |" in text
    assert "Left out: fastapi: no port." in text


def test_networks_are_not_mixed_in_a_table() -> None:
    groups = grouped([row(8), row(8, model="other"), row(1)])
    assert [[(each["model"], each["connections"]) for each in group] for group in groups] == [
        [("net", 1), ("net", 8)],
        [("other", 8)],
    ]


def test_bars_are_as_long_as_what_they_show() -> None:
    root = ElementTree.fromstring(plot(grouped([row(8), row(8, model="other")])))
    space = "{http://www.w3.org/2000/svg}"
    bars = [float(each.get("width", "0")) for each in root.iter(f"{space}rect")][1:]
    assert len(bars) == 8
    assert bars[0] / bars[1] == pytest.approx(225 / 90, rel=0.01)
    assert "limit of onnx-int8: 250" in "".join(root.itertext())


def test_nothing_measured_is_said() -> None:
    assert peers_section([]) == UNMEASURED


def test_shares_of_the_limit() -> None:
    ours = {"share_of_limit": 0.884, "shares": [0.899, 0.835], "p50_ms": 34.75, "generator_share_of_cores": 0.022}
    text = limit_section({"net": [{"connections": 8, "limit_per_second": 261.1, "auto": ours}]})
    assert text.splitlines()[-1] == "| net | 8 | 261.1 | 0.88 | 0.83 to 0.90 | 34.8 | 2.2 % |"


def test_the_gain_is_the_median_of_the_rounds_own_ratios() -> None:
    def side(shares: list[float], p50: float) -> dict[str, Any]:
        return {"share_of_limit": shares[0], "shares": shares, "p50_ms": p50, "p99_ms": 2 * p50, "together": 3}

    facts = {"network": "net", "target": "onnx", "date": "2026-01-02", "machine": "M", "cores": 2}
    figures = {"connections": 8, "limit_per_second": 261.1}
    row = {**facts, **figures, "auto": side([0.9, 0.99, 0.88], 30.2), "off": side([0.8, 0.9, 0.8], 35.0)}
    lines = together_section([row]).splitlines()
    assert lines[0] == "2026-01-02, M, 2 cores:"
    assert lines[-1] == "| net | `onnx` | 8 | 261.1 | 80 % | 35; 70 | 90 % | 3 | 30; 60 | 1.10 |"


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="limit: expected one"):
        replaced("no marks", "limit", "")


def overload_round(
    p99: float = 20.0, refused_p99: float | None = 31.0, again: float | None = 0.4, errors: dict[str, int] | None = None
) -> dict[str, Any]:
    """As `convoy loadtest` gives it, and compared with an idle median of 8 ms and an objective of 25."""
    return {
        "at_80_percent": {"load": 120.0, "latency_ms": {"p50": 9.0, "p99": p99}},
        "at_200_percent": {
            "load": 300.0,
            "good_per_second": 144.0,
            "share_of_knee": 0.96,
            "accepted_p99_ms": 40.0,
            "refused": 2100,
            "refused_p50_ms": 4.0,
            "refused_p99_ms": refused_p99,
            "errors": {"refused 429": 2100} if errors is None else errors,
        },
        "watched_after_s": 20.0,
        "p99_at_80_percent_to_idle_p50": p99 / 8,
        "accepted_p99_to_objective": 1.6,
        "normal_again_after_s": again,
        "generator": {"share_of_cores": 0.03},
    }


def knee(*rounds: dict[str, Any], arrivals: str = "constant") -> dict[str, Any]:
    return of_rounds(Knee(arrivals, 150.0), list(rounds) or [overload_round()])


OVERLOAD = {
    "bundle": "net (net)",
    "date": "2026-11-29",
    "machine": "A processor",
    "cores": 2,
    "idle_p50_ms": 8.25,
    "objective_ms": 25,
    "objective": "p95=25ms,errors=0.1%",
    "command": "python -m scripts.overload_benchmark BUNDLE",
    "knee": {
        "constant": knee(overload_round(20), overload_round(16), overload_round(32)),
        "poisson": knee(overload_round(again=None), overload_round(again=0), overload_round(again=None)),
    },
}


def test_the_knee_and_what_lies_around_it() -> None:
    text = overload_section(OVERLOAD)
    assert "p50 of the idle service 8.2 ms; objective `p95=25ms,errors=0.1%`" in text
    assert "| arrivals | constant | poisson |" in text
    assert "| at 80 % of it: p50; p99, ms | 9.0; 20.0 | 9.0; 20.0 |" in text
    assert "| that p99 / idle p50 | 2.5 (2.0 to 4.0) | 2.5 (2.5 to 2.5) |" in text
    assert "| that / the objective | 1.6 (1.6 to 1.6) |" in text
    assert "| 429 after: p50; p99, ms | 4.0; 31.0 (31.0 to 31.0) |" in text
    assert (
        "| normal again after | 0.4 s (0.4, 0.4, 0.4) | not within 20 s (not within 20 s, 0.0, not within 20 s) |"
        in text
    )
    assert "| other errors | 0 | 0 |" in text
    assert "Soak" not in text


def test_an_error_that_is_no_refusal_is_named() -> None:
    rounds = [overload_round(errors={"refused 429": 5, "status 503": 2}), overload_round(), overload_round()]
    assert "| other errors | status 503: 2 |" in overload_section({**OVERLOAD, "knee": {"poisson": knee(*rounds)}})


def test_rounds_without_a_refusal() -> None:
    none = overload_round(refused_p99=None, errors={})
    none["at_200_percent"] |= {"refused": 0, "refused_p50_ms": None}
    assert "| 429 after: p50; p99, ms | - |" in overload_section({**OVERLOAD, "knee": {"constant": knee(none)}})


@pytest.mark.parametrize("memory", [None, {"settled": 300e6, "last": 303e6, "most": 310e6, "growth": 0.01}])
def test_a_soak_says_what_it_held_and_lost(memory: dict[str, float] | None) -> None:
    soak = {
        "seconds": 1798.0,
        "load": 105.0,
        "due": 188_790,
        "ok": 188_790,
        "latency_ms": {"p50": 9.0, "p99": 30.0},
        "memory_bytes": memory,
        "files_left": 0,
        "faults": [],
    }
    text = overload_section({**OVERLOAD, "soak": soak})
    assert "188,790 requests, 0 not answered rightly" in text
    assert "Soak: 30 minutes" in text
    assert ("memory unknown" if memory is None else "300 MB resident after the first minute, 303 MB") in text
    assert "no fault" in text


def test_a_soak_of_an_earlier_run_has_its_own_command(tmp_path: Path) -> None:
    soaked = {"growth": 0.0}
    earlier = {"bundle": "a", "machine": "m", "cores": 2, "command": "before", "date": "2026-11-28", "soak": soaked}
    path = tmp_path / "overload.json"
    assert soak_on_record(path, earlier) == {}
    path.write_text(json.dumps(earlier))
    kept = soak_on_record(path, {**earlier, "command": "now"})
    assert kept == {"soak": {"command": "before", "date": "2026-11-28", **soaked}}
    path.write_text(json.dumps({**earlier, **kept, "command": "later"}))
    assert soak_on_record(path, earlier) == kept
    assert soak_on_record(path, {**earlier, "bundle": "b"}) == {}


def test_without_a_record_the_page_says_so() -> None:
    assert "no `docs/measured/overload.json`" in overload_section(None)

"""Options that contradict each other, before anything is sent."""

from __future__ import annotations

import inspect
import typing

import pytest

from convoy.commands.loadtest import loadtest, words
from load_tests.errors import LoadTestError
from load_tests.options import Options, address, parser, read_options, seconds

BASE = ("http://127.0.0.1:3000", "--images", "photos")


def read(*options: str) -> Options:
    return read_options([*BASE, *options])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--rate", "fast"), "no number above 0"),
        (("--rate", "nan"), "no number above 0"),
        (("--rate", "inf"), "no number above 0"),
        (("--rate", "1e9"), "more than the 100,000 that are worth trying"),
        (("--steps", "10,1e9", "--slo", "p95=1s"), "ascending loads"),
        (("--slo", ""), "is empty"),
        (("--hostile", "list.csv"), "is for --scenario hostile"),
        (("--expected", "answers.jsonl", "--scenario", "mixed"), "not for --scenario mixed"),
        (("--users", "0"), "no whole number above 0"),
        (("--users", "3"), "users are for --mode closed"),
        (("--mode", "closed", "--rate", "3"), "a rate is for --mode open"),
        (("--steps", "auto"), "steps need a latency that must hold"),
        (("--knee-check", "--slo", "errors=1%"), "steps need a latency that must hold"),
        (("--steps", "20,10", "--slo", "p95=1s"), "ascending loads"),
        (("--steps", "10,10", "--slo", "p95=1s"), "ascending loads"),
        (("--steps", "1.5,2", "--slo", "p95=1s", "--mode", "closed"), "ascending loads"),
        (("--steps", "auto", "--soak", "9s", "--slo", "p95=1s"), "does not go with steps"),
        (("--warmup", "20s"), "must be shorter"),
        (("--soak", "2s"), "must be shorter"),
        (("--duration", "20"), "no time such as"),
        (("--duration", "-1s"), "expected one argument"),
        (("--cpus", "4096"), "is not among those at hand"),
        (("--cpus", "a"), "no list of cores"),
        (("--refine=-1",), "expected 0 or more"),
        (("--workers", "2"), "--bind with a port"),
        (("--bind", "5557"), "no HOST:PORT"),
        (("--bind", "here:99999"), "no HOST:PORT"),
        (("--scenario", "many"), "invalid choice"),
        (("--what",), "unrecognized"),
    ],
)
def test_what_is_wrong_is_said(options: tuple[str, ...], said: str) -> None:
    with pytest.raises(LoadTestError, match=said):
        read(*options)


def test_what_is_not_said_has_a_meaning() -> None:
    plain = read()
    assert (plain.mode, plain.load, plain.loads, plain.objective.errors) == ("open", 5, None, 0)
    closed = read("--mode", "closed", "--users", "4", "--steps", "auto", "--slo", "p95=1s")
    assert (closed.load, closed.loads, closed.grow) == (4, (4,), True)
    given = read("--steps", "10, 20", "--slo", "p95=1s", "--knee-check")
    assert (given.loads, given.grow, given.knee_check) == ((10, 20), False, True)
    soak = read("--soak", "1h")
    assert (soak.soak, soak.duration) == (True, 3600)


def test_times_and_addresses() -> None:
    assert [seconds(text) for text in ("500ms", "1.5s", "2m", "1h")] == [0.5, 1.5, 120, 3600]
    assert address("[::1]:5557") == ("[::1]", 5557)


def test_the_command_has_the_generators_options_and_no_others() -> None:
    shown = {name: parameter for name, parameter in inspect.signature(loadtest).parameters.items() if name != "url"}
    known = {action.dest: action for action in parser()._actions if action.dest not in ("help", "url")}
    assert set(shown) == set(known)
    hints = typing.get_type_hints(loadtest)
    for name in ("scenario", "mode", "arrivals"):
        assert [str(choice) for choice in hints[name]] == list(known[name].choices or ())
        assert shown[name].default == known[name].default
    assert str(shown["out"].default) == str(known["out"].default)


def test_what_was_typed_is_passed_on() -> None:
    given = {"images": "photos", "rate": 2.5, "users": None, "knee_check": True, "json": False, "batch_size": 0}
    assert words(given) == ["--images=photos", "--rate=2.5", "--knee-check", "--batch-size=0"]

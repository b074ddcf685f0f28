"""What is right and what is wrong about an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.outcome import Case, Reply, judge
from load_tests.phase import OK, REFUSED, WRONG

ANTS, BEES = ("ants", 0.7), ("bees", 0.6)


def case(shape: str = "predict", *expected: tuple[str, float], statuses: tuple[int, ...] = (200,)) -> Case:
    return Case("kind", "/predict", {}, b"", statuses, expected, shape, name="a.png")


def reply(document: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(document).encode())


def one(label: str, probability: float) -> dict[str, Any]:
    return {"predictions": [{"label": label, "probability": probability}]}


def oip(*texts: str, shape: tuple[int, int]) -> dict[str, Any]:
    return {"outputs": [{"name": "probabilities", "shape": list(shape), "data": list(texts)}]}


@pytest.mark.parametrize(
    ("asked", "document"),
    [
        (case("predict", ANTS), one("ants", 0.70005)),
        (case("batch", ANTS, BEES), {"results": [one("ants", 0.7), one("bees", 0.6)]}),
        (case("oip", ANTS, BEES), oip("0.7:0:ants", "0.3:1:bees", "0.6:1:bees", "0.4:0:ants", shape=(2, 2))),
        (case("oip", ("a:b", 0.7)), oip("0.7:0:a:b", shape=(1, 1))),
    ],
)
def test_the_pictures_own_answers_are_right(asked: Case, document: Any) -> None:
    assert judge(asked, reply(document)) == (OK, "")


@pytest.mark.parametrize(
    ("asked", "document", "said"),
    [
        (case("predict", ANTS), one("bees", 0.7), "instead of"),
        (case("predict", ANTS), one("ants", 0.69), "instead of"),
        (case("predict", ANTS), {"detail": "x"}, "not an answer"),
        (case("predict", ANTS), [], "not an answer"),
        (case("batch", ANTS, BEES), {"results": [one("bees", 0.6), one("ants", 0.7)]}, "instead of"),
        (case("batch", ANTS, BEES), {"results": [one("ants", 0.7)]}, "1 answers for 2 pictures"),
        (case("batch", ANTS), {"results": [{"problem": {"status": 422}}]}, "not an answer"),
        (case("batch", ANTS), {}, "results"),
        (case("oip", ANTS), oip("0.7:0:ants", shape=(1, 2)), "1 classes for shape"),
        (case("oip", ANTS), oip("0.7 ants", shape=(1, 1)), "a.png"),
        (case("oip", ANTS), {"outputs": []}, "a.png"),
        (case("oip", ANTS), [], "a.png"),
    ],
)
def test_any_other_answer_is_wrong(asked: Case, document: Any, said: str) -> None:
    outcome, text = judge(asked, reply(document))
    assert outcome == WRONG
    assert said in text
    assert text.startswith("a.png: ")


@given(st.sampled_from(["predict", "batch", "oip"]), st.binary(max_size=60))
def test_no_body_breaks_the_judge(shape: str, body: bytes) -> None:
    assert judge(case(shape, ANTS), Reply(200, body))[0] == WRONG


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["predictions", "results", "outputs", "shape", "data", "label"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(["predict", "batch", "oip"]), JSON)
def test_no_document_breaks_the_judge(shape: str, document: Any) -> None:
    assert judge(case(shape, ANTS), reply(document))[0] == WRONG


def test_statuses() -> None:
    hostile = case(statuses=(400, 413))
    assert judge(hostile, reply({"detail": "bad"}, 413)) == (OK, "")
    assert judge(hostile, reply({"detail": "bad"}, 415)) == ("status 415", "a.png: 415 instead of 400 or 413: bad")
    assert judge(hostile, Reply(200, b"{}"))[0] == "status 200"
    assert judge(hostile, Reply(500, b"<html>"))[1] == "a.png: 500 instead of 400 or 413: <html>"
    assert judge(hostile, reply({"detail": "later"}, 429)) == (REFUSED, "later")


@given(st.lists(st.tuples(st.text(max_size=8), st.floats(0, 1)), max_size=3))
def test_a_case_survives_the_message(expected: list[tuple[str, float]]) -> None:
    sent = Case("kind", "/p", {"a": "b"}, b"\x00\xff", (200, 400), tuple(expected), "batch", 0.5, "name")
    assert Case.of_message(json.loads(json.dumps([*sent.message()[:3], None, *sent.message()[4:]]))).expected == tuple(
        expected
    )
    assert Case.of_message(sent.message()) == sent

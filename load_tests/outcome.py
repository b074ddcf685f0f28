"""What a request must be answered with, and what became of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from load_tests.answers import Expected, WrongAnswer, check
from load_tests.phase import OK, REFUSED, WRONG


@dataclass(frozen=True)
class Case:
    """A request, ready to be sent.

    kind: its row in the report. weight: how often it is drawn. statuses: that are right. expected: label and
    probability of each picture in it, in order, of an answer with status 200. shape: how that answer is written.
    """

    kind: str
    path: str
    headers: dict[str, str]
    body: bytes
    statuses: tuple[int, ...] = (200,)
    expected: tuple[tuple[str, float], ...] = ()
    shape: str = "predict"
    weight: float = 1.0
    name: str = ""

    def message(self) -> list[Any]:
        """For the processes that send."""
        fields = [self.kind, self.path, self.headers, self.body, self.statuses, self.expected, self.shape]
        return [*fields, self.weight, self.name]

    @classmethod
    def of_message(cls, parts: list[Any]) -> Case:
        """The counterpart of `message`."""
        kind, path, headers, body, statuses, expected, *rest = parts
        return cls(kind, path, headers, body, tuple(statuses), tuple((a, b) for a, b in expected), *rest)


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    body: bytes = field(repr=False)


def judge(case: Case, reply: Reply) -> tuple[str, str]:
    """(outcome, message): OK and nothing when the status is one of the case's and the answer is the pictures' own."""
    if reply.status in case.statuses:
        if reply.status != 200 or not case.expected:
            return OK, ""
        try:
            verify(case, json.loads(reply.body))
        except (WrongAnswer, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            return WRONG, f"{case.name}: {error or type(error).__name__}"[:300]
        return OK, ""
    outcome = REFUSED if reply.status == 429 else f"status {reply.status}"
    allowed = " or ".join(map(str, case.statuses))
    if outcome == REFUSED:
        return outcome, detail(reply)
    return outcome, f"{case.name}: {reply.status} instead of {allowed}: {detail(reply)}"


def detail(reply: Reply) -> str:
    """What a problem document says, or the beginning of another body."""
    try:
        return str(json.loads(reply.body)["detail"])[:300]
    except (ValueError, KeyError, TypeError):
        return " ".join(reply.body[:200].decode("utf-8", "replace").split())


def verify(case: Case, answer: Any) -> None:
    """Raises: WrongAnswer, or what reading a document of another shape raises."""
    found = _READ[case.shape](answer)
    if len(found) != len(case.expected):
        raise WrongAnswer(f"{len(found)} answers for {len(case.expected)} pictures")
    for one, (label, probability) in zip(found, case.expected, strict=True):
        check(one, Expected(label, probability))


def _oip(answer: Any) -> list[Any]:
    """Of an Open Inference Protocol answer with classification: `probability:index:label`, K for each picture."""
    (output,) = answer["outputs"]
    pictures, classes = output["shape"]
    rows = []
    for text in output["data"]:
        probability, _, label = text.split(":", 2)
        rows.append({"label": label, "probability": float(probability)})
    if len(rows) != pictures * classes:
        raise WrongAnswer(f"{len(rows)} classes for shape {output['shape']}")
    return [{"predictions": rows[start : start + classes]} for start in range(0, len(rows), classes)]


_READ: dict[str, Any] = {
    "predict": lambda answer: [answer],
    "batch": lambda answer: answer["results"],
    "oip": _oip,
}

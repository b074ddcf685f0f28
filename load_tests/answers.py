"""What each picture must be answered with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
TOLERANCE = 1e-4
"""Of a probability: the same file through the same graph, in another process."""


@dataclass(frozen=True)
class Expected:
    """The first class of a picture's answer."""

    label: str
    probability: float


class WrongAnswer(Exception):
    """An answer with status 200 that is not the picture's."""


def find_images(folder: Path) -> list[Path]:
    """Every image below `folder`, sorted. Raises: FileNotFoundError when there is none, or no such folder."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not images:
        raise FileNotFoundError(f"{folder}: no images ({', '.join(SUFFIXES)})")
    return images


def read_expected(path: Path) -> dict[str, Expected]:
    """By file name, from what `convoy predict BUNDLE FOLDER --json` printed; error rows are left out.

    Raises: ValueError for a line that is no such row.
    """
    expected = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            if "error" not in row:
                expected[Path(row["image"]).name] = first_of(row)
        except (ValueError, KeyError, TypeError, IndexError, WrongAnswer) as error:
            raise ValueError(f"{path}, line {number}: not a line of `convoy predict --json`") from error
    return expected


def first_of(answer: Any) -> Expected:
    """The first class, after checking the answer's shape and order. Raises: WrongAnswer."""
    try:
        predictions = answer["predictions"]
        probabilities = [float(prediction["probability"]) for prediction in predictions]
        first = Expected(str(predictions[0]["label"]), probabilities[0])
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise WrongAnswer(f"not an answer: {str(answer)[:200]}") from error
    if probabilities != sorted(probabilities, reverse=True) or not 0 <= sum(probabilities) <= 1 + 1e-3:
        raise WrongAnswer(f"probabilities out of order or above 1: {probabilities}")
    return first


def check(answer: Any, expected: Expected) -> None:
    """Raises: WrongAnswer when the first class or its probability is another."""
    found = first_of(answer)
    if found.label != expected.label or abs(found.probability - expected.probability) > TOLERANCE:
        raise WrongAnswer(f"{_said(found)} instead of {_said(expected)}")


def _said(answer: Expected) -> str:
    return f"{answer.label!r} {answer.probability:.5f}"

"""The confusion matrix as a table that can be read: all of it for few classes, the worst part for many."""

from __future__ import annotations

from dataclasses import dataclass

from models.figures import Figures

MOST_CLASSES = 20
MOST_PAIRS = 15


@dataclass(frozen=True)
class Cell:
    """`share`: of the row's pictures. `right`: on the diagonal."""

    count: int
    share: float
    right: bool
    note: str


@dataclass(frozen=True)
class Matrix:
    """rows: (label, pictures, cells, pictures answered as a class that is not shown), of classes with pictures.

    `whole`: every class is shown.
    """

    labels: tuple[str, ...]
    rows: tuple[tuple[str, int, tuple[Cell, ...], int], ...]
    whole: bool


@dataclass(frozen=True)
class Pair:
    """So many pictures of `truth` were answered `answer`. `share`: of the pictures of `truth`."""

    truth: str
    answer: str
    count: int
    share: float


def confusion_matrix(figures: Figures) -> Matrix:
    """All classes up to 20, or the 20 that the most frequent confusions are between."""
    shown = shown_classes(figures)
    labels = tuple(figures.classes[index].label for index in shown)
    counts = {(truth, answer): count for truth, answer, count in figures.confusion}
    rows = []
    for truth in shown:
        item = figures.classes[truth]
        if not item.pictures:
            continue
        cells = tuple(_cell(figures, truth, answer, counts.get((truth, answer), 0)) for answer in shown)
        rows.append((item.label, item.pictures, cells, item.pictures - sum(cell.count for cell in cells)))
    return Matrix(labels, tuple(rows), len(shown) == len(figures.classes))


def shown_classes(figures: Figures) -> tuple[int, ...]:
    """The classes' indices, rising."""
    if len(figures.classes) <= MOST_CLASSES:
        return tuple(range(len(figures.classes)))
    chosen: set[int] = set()
    for truth, answer, _ in _ranked(figures):
        if len(chosen | {truth, answer}) <= MOST_CLASSES:
            chosen |= {truth, answer}
    return tuple(sorted(chosen))


def confusions(figures: Figures) -> list[Pair]:
    """The most frequent ones, at most 15."""
    return [
        Pair(
            figures.classes[truth].label, figures.classes[answer].label, count, count / figures.classes[truth].pictures
        )
        for truth, answer, count in _ranked(figures)[:MOST_PAIRS]
    ]


def _ranked(figures: Figures) -> list[tuple[int, int, int]]:
    """Wrong answers by count, then by the share of their class."""
    wrong = [triple for triple in figures.confusion if triple[0] != triple[1]]
    return sorted(wrong, key=lambda triple: (-triple[2], figures.classes[triple[0]].pictures, triple[:2]))


def _cell(figures: Figures, truth: int, answer: int, count: int) -> Cell:
    item = figures.classes[truth]
    note = f"{item.label}, answered {figures.classes[answer].label}: {count} of {item.pictures}"
    return Cell(count, count / item.pictures if item.pictures else 0.0, truth == answer, note)

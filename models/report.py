"""Self-contained HTML reports: one file, no script, no address of anything outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from models.confusion import confusion_matrix, confusions
from models.drawn import learning_curves, precision_recall, reliability_diagram
from models.figures import ClassFigures, Figures

if TYPE_CHECKING:
    from models.history import History
    from models.mistakes import Mistake
    from models.summary import Split

FILE = "report.html"

WORST_CLASSES = 20
"""Rows of the table by class that are open; the others are folded away."""


@dataclass(frozen=True)
class Report:
    """What the page is made of; every number in it is of `figures` or `history`.

    intro: what was measured on what. splits: training first where it is known. notes: what is wrong with the data.
    """

    title: str
    intro: str
    figures: Figures
    mistakes: Sequence[Mistake]
    splits: Sequence[Split]
    notes: Sequence[str] = ()
    history: History | None = None
    recipe: Mapping[str, Any] | None = None


def render(template: str, **values: Any) -> str:
    """A template of `models/templates`; a missing value is an error, every value is escaped."""
    environment = Environment(
        loader=PackageLoader("models"), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(**values)


def render_report(report: Report) -> str:
    """Self-contained HTML; about 40 KB, 15 KB per mistake and at most 1 KB per class."""
    figures = report.figures
    classes = by_f1(figures)
    return render(
        "report.html",
        title=report.title,
        intro=report.intro,
        figures=figures,
        curves=learning_curves(report.history or []),
        matrix=confusion_matrix(figures),
        pairs=confusions(figures),
        precision_recall=precision_recall(figures),
        before=reliability_diagram(figures.uncalibrated, "Accuracy by confidence before temperature scaling"),
        after=reliability_diagram(figures.calibrated, "Accuracy by confidence after temperature scaling"),
        mistakes=report.mistakes,
        wrong=sum(count for truth, answer, count in figures.confusion if truth != answer),
        worst=classes[:WORST_CLASSES],
        rest=classes[WORST_CLASSES:],
        absent=len(figures.classes) - len(classes),
        splits=report.splits,
        notes=report.notes,
        recipe=report.recipe,
    )


def by_f1(figures: Figures) -> list[ClassFigures]:
    """The classes that were seen or answered, worst F1 first; of equal ones that with more pictures."""
    seen = [item for item in figures.classes if item.f1 is not None]
    return sorted(seen, key=lambda item: (item.f1, -item.pictures))

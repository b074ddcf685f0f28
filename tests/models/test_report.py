"""The page: whole for 2, 10 and 1,000 classes, of the figures' own numbers, closed to what names carry."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

import numpy as np
import pytest
import torch

from models.charts import round_ticks
from models.confusion import MOST_CLASSES, confusion_matrix, confusions
from models.data import Pictures, Sample
from models.drawn import mean_curve, precision_recall
from models.figures import Figures
from models.measure import Answers, measure
from models.mistakes import MOST, worst_mistakes
from models.registry import build, find
from models.report import Report, by_f1, render_report
from models.summary import split_of
from tests.pictures import noise

MOST_BYTES = {2: 600_000, 10: 600_000, 1000: 1_600_000}
"""With all 24 mistakes of pictures that compress badly."""

HOSTILE = "\"><script>alert('x')</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"
HISTORY = [{"epoch": index, "train_loss": 2 / (index + 1), "val_loss": 1.0, "val_accuracy": 0.5} for index in range(3)]


def answers_on(n: int, classes: int, seed: int = 0) -> Answers:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    logits = torch.randn(n, classes, generator=generator)
    logits[range(n), labels] += 2
    return Answers(logits, labels, 0.8)


def pictures_in(folder: Path, n: int, classes: int, name: str = "picture") -> Pictures:
    folder.mkdir(exist_ok=True)
    samples = []
    for index in range(n):
        path = folder / f"{name}-{index % 40}.png"
        if not path.exists():
            noise(48, 40, index).save(path)
        samples.append(Sample(path, index % classes, f"{index:064x}"))
    return Pictures(tuple(samples), "validation")


def page_of(
    tmp_path: Path, classes: int, labels: list[str] | None = None, name: str = "picture"
) -> tuple[str, Figures]:
    n = max(120, 2 * classes)
    answers, pictures = answers_on(n, classes), pictures_in(tmp_path / "pictures", n, classes, name)
    labels = labels or [f"class {index}" for index in range(classes)]
    figures = measure(answers, labels, pictures.fingerprint, pictures.split)
    torch.manual_seed(0)
    entry = find("lenet5")
    mistakes = worst_mistakes(build("lenet5", classes), entry, entry.preprocess, answers, pictures)
    report = Report(
        title="a network",
        intro="on pictures",
        figures=figures,
        mistakes=mistakes,
        splits=[split_of(pictures, labels)],
        history=HISTORY,
        recipe={"arch": "lenet5", "epochs": 3},
    )
    return render_report(report), figures


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_the_page_is_whole_small_and_alone(tmp_path: Path, classes: int) -> None:
    page, figures = page_of(tmp_path, classes)
    assert len(page.encode()) < MOST_BYTES[classes]
    for address in ("http", 'src="//', "url(", "@import", "<script", "<link"):
        assert address not in page
    for heading in (
        "Learning curves",
        "Confusion matrix",
        "Precision and recall",
        "The worst mistakes",
        "Class by class",
    ):
        assert f"<h2>{heading}</h2>" in page
    wrong = sum(count for truth, answer, count in figures.confusion if truth != answer)
    assert page.count("class activation map for") == min(MOST, wrong)
    assert page.count("data:image/jpeg;base64,") == 2 * min(MOST, wrong)
    assert all(f">{item.label}</td>" in page for item in figures.classes)
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page)


def test_every_number_on_the_page_is_of_metrics_json(tmp_path: Path) -> None:
    page, figures = page_of(tmp_path, 10)
    cards = dict(re.findall(r"<li><b>(.*?)</b>([a-zA-Z0-9, -]+)", page)[::-1])
    found = {name: value for value, name in cards.items()}
    assert found["top-1"] == f"{100 * figures.top1:.2f}\u00a0%"
    assert found["top-5"] == f"{100 * figures.top5:.2f}\u00a0%"
    assert found["macro F1"] == f"{figures.f1.macro:.4f}"
    assert found["mean average precision"] == f"{figures.mean_average_precision:.4f}"
    assert found["ROC AUC, mean"] == f"{figures.roc_auc:.4f}"
    assert found["calibration error"] == f"{figures.calibrated.ece:.4f}"
    assert f"of the {figures.n} pictures" in page
    for item in figures.classes:
        row = page.split(f'<td class="name">{item.label}</td><td class="f1">')[1].split("</tr>")[0]
        assert re.findall(r"\d\.\d{4}", row) == [
            f"{value:.4f}" for value in (item.f1, item.precision, item.recall, item.average_precision, item.roc_auc)
        ]


def test_hostile_names_are_text(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, 3, [HOSTILE, "b", "c"], name="a'\"&<b onmouseover=x>")
    assert HOSTILE not in page
    assert str(escape(HOSTILE)).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "<b onmouseover" not in page
    assert "{{ 7 * 7 }}" in page


def test_a_perfect_model_has_a_page_too(tmp_path: Path) -> None:
    labels = torch.arange(12) % 3
    answers = Answers(torch.eye(3)[labels] * 500, labels, 1.0)
    figures = measure(answers, ["a", "b", "c"], "0" * 64, "validation")
    pictures = pictures_in(tmp_path / "pictures", 12, 3)
    page = render_report(Report("t", "i", figures, [], [split_of(pictures, "abc")]))
    assert "Nothing was confused" in page
    assert "Learning curves" not in page
    assert "The worst mistakes" not in page


def test_one_picture_and_absent_classes_have_a_page_too(tmp_path: Path) -> None:
    answers = Answers(torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([0]), 1.0)
    figures = measure(answers, ["a", "b", "c"], "0" * 64, "validation")
    assert figures.roc_auc is None
    page = render_report(Report("t", "i", figures, [], [split_of(pictures_in(tmp_path / "p", 1, 3), "abc")]))
    assert "1 classes have no picture here" in page


def test_the_matrix_is_whole_for_few_classes() -> None:
    figures = measure(answers_on(200, 12), [str(index) for index in range(12)], "0" * 64, "validation")
    matrix = confusion_matrix(figures)
    assert matrix.whole
    found = np.array([[cell.count for cell in cells] for _, _, cells, _ in matrix.rows])
    expected = np.zeros_like(found)
    for truth, answer, count in figures.confusion:
        expected[truth, answer] = count
    assert (found == expected).all()
    assert len(found) == 12
    assert all(others == 0 for *_, others in matrix.rows)


def test_the_matrix_of_many_classes_is_its_worst_part() -> None:
    labels = torch.arange(1000).repeat(3)
    answered = labels.clone()
    answered[[7, 1007, 2007]] = 500
    answered[[8, 1008]] = 9
    answered[20:60] += 1
    answers = Answers(torch.nn.functional.one_hot(answered, 1000).float() * 9, labels, 1.0)
    figures = measure(answers, [f"n{index}" for index in range(1000)], "0" * 64, "validation")
    matrix = confusion_matrix(figures)
    assert not matrix.whole
    assert len(matrix.labels) == MOST_CLASSES
    assert {"n7", "n500", "n8", "n9"} <= set(matrix.labels)
    assert all(pictures == sum(cell.count for cell in cells) + others for _, pictures, cells, others in matrix.rows)
    first, second = confusions(figures)[:2]
    assert (first.truth, first.answer, first.count, first.share) == ("n7", "n500", 3, 1.0)
    assert (second.truth, second.answer, second.count) == ("n8", "n9", 2)


def test_the_worst_classes_come_first() -> None:
    figures = measure(answers_on(200, 12), [str(index) for index in range(12)], "0" * 64, "validation")
    scores = [item.f1 or 0 for item in by_f1(figures)]
    assert scores == sorted(scores)
    named = [text.split()[0] for css, text in precision_recall(figures).key if css not in ("s0", "faint")]
    worst = sorted(figures.classes, key=lambda item: item.average_precision or 0)[:5]
    assert named == [item.label for item in worst]


def test_the_mean_curve_has_the_mean_area() -> None:
    figures = measure(answers_on(2000, 8), [str(index) for index in range(8)], "0" * 64, "validation")
    heights = [precision for _, precision in mean_curve(list(figures.classes))]
    assert np.mean(heights) == pytest.approx(figures.mean_average_precision, abs=0.01)


def test_the_surest_mistakes_come_first(tmp_path: Path) -> None:
    answers, pictures = answers_on(120, 3), pictures_in(tmp_path / "pictures", 120, 3)
    entry = find("lenet5")
    mistakes = worst_mistakes(build("lenet5", 3), entry, entry.preprocess, answers, pictures, most=5)
    evaluation = answers.calibrated
    wrong = evaluation.confidence[~evaluation.correct].sort(descending=True).values[:5]
    assert [item.probability for item in mistakes] == pytest.approx(wrong.tolist())
    assert all(item.truth != item.answer for item in mistakes)
    assert all(item.of_truth <= item.probability for item in mistakes)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.31, 0.62), (2.1, 2.1), (0, 0), (1e-6, 3e-6), (12, 9000)])
def test_ticks_are_round_few_and_around_the_values(low: float, high: float) -> None:
    ticks = round_ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low
    assert high <= ticks[-1]
    assert ticks == tuple(sorted(set(ticks)))

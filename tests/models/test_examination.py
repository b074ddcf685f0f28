"""`convoy evaluate` without the command line: the same figures again, and what it refuses."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bundle.errors import CannotWrite, TargetExists
from bundle.folder import open_checkpoint
from models.errors import DataChanged, NoEvaluationData, NoLabels, NotFinite
from models.examination import examine
from models.figures import FILE, read_figures
from models.history import best_epoch, read_history
from models.measure import answers_of
from models.pull import pull
from models.recipe import resolve_recipe
from models.registry import build, find
from models.train import train
from models.validated import evaluation_pictures
from tests.pictures import plain


@pytest.fixture(scope="module")
def run(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "colours"
    train(resolve_recipe("lenet5", colours, epochs=6, batch_size=8, learning_rate=2e-3), out)
    return out


def test_history_manifest_metrics_and_report_agree(run: Path) -> None:
    manifest, figures, history = (
        open_checkpoint(run).manifest,
        read_figures(run / FILE),
        read_history(run / "history.csv"),
    )
    assert figures.metrics == manifest.metrics
    assert figures.temperature == manifest.temperature
    best = history[best_epoch(history)]
    assert best["val_accuracy"] == pytest.approx(figures.top1, abs=1e-6)
    assert best["val_loss"] == pytest.approx(figures.uncalibrated.loss, abs=1e-5)
    page = (run / "report.html").read_text()
    assert f"<b>{100 * figures.top1:.2f}\u00a0%</b>top-1" in page
    assert f"<b>{figures.f1.macro:.4f}</b>macro F1" in page
    assert f"best: {best_epoch(history) + 1}<" in page


def test_evaluating_again_gives_the_figures_of_training(run: Path, tmp_path: Path) -> None:
    examined = examine(run, tmp_path / "out")
    trained = read_figures(run / FILE)
    assert read_figures(tmp_path / "out" / FILE) == examined.figures
    assert examined.figures == trained
    page = (tmp_path / "out" / "report.html").read_text()
    assert "those it was validated on" in page
    assert "Learning curves" in page


def test_other_pictures_keep_the_class_order(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "red"
    folder.mkdir(parents=True)
    for number in range(4):
        plain("red", seed=number).save(folder / f"{number}.png")
    figures = examine(run, tmp_path / "out", data=tmp_path / "data").figures
    assert [item.pictures for item in figures.classes] == [0, 0, 4]
    assert figures.classes[2].recall == figures.top1
    assert [item.recall for item in figures.classes[:2]] == [None, None]
    assert "it was not validated on them" in (tmp_path / "out" / "report.html").read_text()


def test_a_target_is_not_overwritten_by_chance(run: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("precious")
    with pytest.raises(TargetExists):
        examine(run, tmp_path)
    with pytest.raises(CannotWrite, match="checksummed"):
        examine(run, run, overwrite=True)
    assert (tmp_path / "report.html").read_text() == "precious"
    examine(run, tmp_path, overwrite=True)
    assert "Confusion matrix" in (tmp_path / "report.html").read_text()


def test_pictures_without_labels_cannot_be_measured(run: Path, tmp_path: Path) -> None:
    plain("red").save(tmp_path / "1.png")
    with pytest.raises(NoLabels, match="carry no labels"):
        examine(run, tmp_path / "out", data=tmp_path)


def test_changed_or_unknown_validation_pictures_are_refused(colours: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(colours, tmp_path / "data"))
    train(resolve_recipe("lenet5", data, epochs=1), tmp_path / "run")
    plain("red", seed=77).save(data / "val" / "red" / "new.png")
    with pytest.raises(DataChanged):
        examine(tmp_path / "run", tmp_path / "out")
    torch.save(build("lenet5", 3).state_dict(), tmp_path / "lenet.pth")
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    pull("lenet5", tmp_path / "pulled", weights=str(tmp_path / "lenet.pth"), labels=tmp_path / "labels.txt")
    with pytest.raises(NoEvaluationData):
        examine(tmp_path / "pulled", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_answers_that_are_no_numbers_are_refused(run: Path) -> None:
    pictures = evaluation_pictures(open_checkpoint(run).manifest, None)
    network = build("lenet5", 3)
    torch.nn.init.constant_(network.output.bias, float("nan"))  # type: ignore[union-attr]
    with pytest.raises(NotFinite, match="3 of 3 pictures"):
        answers_of(network, find("lenet5").preprocess, replace(pictures, samples=pictures.samples[:3]))


@pytest.mark.slow
def test_a_thousand_classes(test_data: Path, tmp_path: Path) -> None:
    """241 of 300 right and 285 in the top five, as measured with torchvision's own transforms."""
    weights, labels = test_data / "weights/mobilenet_v2_imagenet.safetensors", test_data / "imagenet_classes.txt"
    pull("mobilenet_v2", tmp_path / "run", weights=str(weights), labels=labels)
    figures = examine(tmp_path / "run", tmp_path / "out", data=test_data / "imagenet_sample.csv").figures
    assert figures.top1 == pytest.approx(241 / 300, abs=0.007)
    assert figures.top5 == pytest.approx(285 / 300, abs=0.007)
    assert (tmp_path / "out" / "report.html").stat().st_size < 1_600_000

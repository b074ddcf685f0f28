"""`convoy data` as a person meets it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.convoy.command import Convoy, refused
from tests.models.test_archives import pack
from tests.pictures import plain


@pytest.fixture
def folder(colours: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(colours, tmp_path / "colours"))


def test_clean_data_is_counted(convoy: Convoy, colours: Path) -> None:
    result = convoy("data", colours)
    assert result.returncode == 0, result.stderr
    text = " ".join(result.stdout.split())
    assert "folder of classes, 51 pictures in 3 classes" in text
    assert "class train validation" in text
    assert "blue 12 5" in text
    assert "all 36 15" in text
    assert "width 20 to 31 px, median" in text
    assert "imbalance 1.00" in text
    assert "bad files 0" in text
    assert "next: convoy train" in result.stderr


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_everything_that_is_wrong_is_listed(convoy: Convoy, folder: Path, kind: str) -> None:
    (folder / "train" / "red" / "bad.png").write_bytes(b"x")
    (folder / "val" / "blue" / "empty.jpg").write_bytes(b"")
    shutil.copy(folder / "train" / "red" / "000.png", folder / "val" / "red" / "leak.png")
    shutil.copy(folder / "train" / "red" / "001.png", folder / "train" / "green" / "wrong.png")
    source = folder if kind == "folder" else pack(folder, folder.with_suffix(".zip"))
    result = convoy("data", source)
    assert result.returncode == 1
    for part in (
        "train/red/bad.png: not an image",
        "val/blue/empty.jpg: the image is empty",
        "duplicates  2, 1 across splits, 1 under different labels",
        "leak.png (across splits)",
        "001.png (different labels)",
    ):
        assert part in result.stdout
    found = json.loads(convoy("data", source, "--json").stdout)
    assert found["splits"]["train"] == {"pictures": 37, "bad": 1, "by_class": [12, 13, 12]}
    assert [Path(one["path"]).name for one in found["bad"]] == ["bad.png", "empty.jpg"]
    assert [(one["leaks"], one["contradicts"]) for one in found["duplicates"]] == [(False, True), (True, False)]
    assert found["imbalance"] == pytest.approx(13 / 12)


def test_many_findings_are_cut_short_but_not_in_json(convoy: Convoy, folder: Path) -> None:
    for number in range(25):
        (folder / "train" / "red" / f"bad{number:02d}.png").write_bytes(b"x")
    assert "and 5 more: --json lists all" in convoy("data", folder).stdout
    assert len(json.loads(convoy("data", folder, "--json").stdout)["bad"]) == 25


def test_a_class_of_bad_files_is_named(convoy: Convoy, folder: Path) -> None:
    for path in (folder / "train" / "green").iterdir():
        path.write_bytes(b"x")
    assert "green has no readable picture" in convoy("data", folder).stdout


def test_a_flat_folder_has_no_classes(convoy: Convoy, folder: Path) -> None:
    result = convoy("data", folder / "val" / "red", "--sheet", folder / "sheet.png")
    assert result.returncode == 0
    assert "folder of pictures, 5 pictures in 0 classes" in result.stdout
    assert (folder / "sheet.png").is_file()


def test_the_contact_sheet_shows_every_class(convoy: Convoy, folder: Path) -> None:
    (folder / "train" / "red" / "bad.png").write_bytes(b"x")
    plain("red", 1, 3000).save(folder / "train" / "red" / "strip.png")
    result = convoy("data", folder, "--sheet", folder / "sheet.png")
    assert result.returncode == 1
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.size == (1252, 412)
        pixels = np.asarray(sheet.convert("RGB"))
    for row, channel in enumerate((2, 1, 0)):
        tile = pixels[64 + 108 * row + 20 : 64 + 108 * row + 70, 230:300]
        assert tile.mean(axis=(0, 1)).argmax() == channel


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sheet", "sheet.jpg"), "give a name that ends in .png"),
        (("--sheet", "no/such/folder/sheet.png"), "cannot be written"),
    ],
)
def test_a_sheet_that_cannot_be(convoy: Convoy, colours: Path, options: tuple[str, ...], message: str) -> None:
    refused(convoy("data", colours, *options), message)


def test_what_is_no_data_is_one_line(convoy: Convoy, tmp_path: Path) -> None:
    refused(convoy("data", tmp_path / "none"), "no such data (expected a folder of classes, a CSV, a zip of either")
    refused(convoy("data", "fashon_mnist"), "(near: fashion_mnist")
    (tmp_path / "x.zip").write_bytes(b"x")
    refused(convoy("data", tmp_path / "x.zip"), "x.zip: the archive cannot be read (not a zip file)")
    (tmp_path / "empty").mkdir()
    refused(convoy("data", tmp_path / "empty"), "no images")


def test_leaks_are_a_warning_in_train_and_stand_in_the_report(
    convoy: Convoy,
    folder: Path,
    tmp_path: Path,
) -> None:
    shutil.copy(folder / "train" / "red" / "000.png", folder / "val" / "red" / "leak.png")
    result = convoy.train(folder, tmp_path / "run")
    assert result.returncode == 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert len(lines) == 1
    assert "1 picture(s) lie in more than one split" in lines[0]
    assert "leak.png" in lines[0]
    assert "leak.png" in (tmp_path / "run" / "report.html").read_text()


def test_the_road_from_a_zip(convoy: Convoy, colours: Path, tmp_path: Path) -> None:
    """Train, export and verify take the same; the default evaluation pictures are found in it again."""
    source = pack(colours, tmp_path / "colours.zip")
    trained = convoy.train(source, tmp_path / "run")
    assert trained.returncode == 0, trained.stderr
    for name, options in (("default", ()), ("given", ("--data", source))):
        exported = convoy("export", tmp_path / "run", "--out", tmp_path / name, *options)
        assert exported.returncode == 0, exported.stderr
    verified = convoy("verify", tmp_path / "default", "--data", source, "--json")
    checks = {check["what"]: check["result"] for check in json.loads(verified.stdout)["checks"]}
    assert checks["accuracy onnx"].endswith("of 15 pictures")


def test_real_photographs(convoy: Convoy, test_data: Path, tmp_path: Path) -> None:
    found = json.loads(convoy("data", test_data / "hymenoptera", "--json", "--sheet", tmp_path / "sheet.png").stdout)
    assert {name: part["by_class"] for name, part in found["splits"].items()} == {
        "train": [120, 118],
        "validation": [62, 78],
    }
    assert (found["bad"], found["duplicates"]) == ([], [])

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data import read_evaluation_pictures, read_training_data
from models.errors import BadPictures, BadTable, NoTableRows, TooFewClasses, UnknownLabel, UnusableLabel
from models.tables import parse

LABELS = ("blue", "green", "red")


@pytest.fixture
def folder(colours: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(colours, tmp_path / "colours"))


def write_table(folder: Path, *lines: str) -> Path:
    path = folder / "list.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def rows(folder: Path, parts: tuple[str, ...] = ("train",)) -> list[str]:
    """`path,label` of every picture in the order of folders."""
    files = [file for part in parts for file in sorted((folder / part).glob("*/*.png"))]
    return [f"{file.relative_to(folder)},{file.parent.name}" for file in files]


def read(table: Path, **options: object):
    return read_training_data(table, **{"validation_share": 0.25, "seed": 1, **options})  # type: ignore[arg-type]


def test_a_table_without_splits_is_split_as_its_folder_would_be(folder: Path) -> None:
    table, tree = read(write_table(folder, "path,label", *rows(folder))), read(folder / "train")
    assert table.classes == tree.classes
    assert table.train.fingerprint == tree.train.fingerprint
    assert table.validation.fingerprint == tree.validation.fingerprint


def test_a_split_column_says_which_picture_goes_where(folder: Path) -> None:
    lines = [f"{row},{'train' if row.startswith('train') else 'valid'}" for row in rows(folder, ("train", "val"))]
    data = read(write_table(folder, "file,label,split", *lines, "val/red/000.png,red,Test"))
    assert data.train.fingerprint == read(folder).train.fingerprint
    assert data.validation.fingerprint == read(folder).validation.fingerprint
    assert data.test is not None
    assert [sample.label for sample in data.test.samples] == [2]


def test_a_class_index_fixes_the_order_of_the_classes(folder: Path) -> None:
    order = {"red": 0, "blue": 1, "green": 2}
    lines = [f"{row},{order[row.split(',')[1]]}" for row in rows(folder)]
    data = read(write_table(folder, "path,label,class_index", *lines))
    assert data.classes == ("red", "blue", "green")
    assert {(s.path.parent.name, s.label) for s in data.train.samples} == set(order.items())


def test_indices_without_names_are_their_own_names(folder: Path) -> None:
    lines = [f"{row.split(',')[0]},{LABELS.index(row.split(',')[1])}" for row in rows(folder)]
    assert read(write_table(folder, "path,class_index", *lines)).classes == ("0", "1", "2")


def test_a_class_that_training_has_not_is_refused(folder: Path) -> None:
    lines = [f"{row},train" for row in rows(folder)]
    with pytest.raises(UnknownLabel, match="'reed'"):
        read(write_table(folder, "path,label,split", *lines, "val/red/000.png,reed,val"))


def test_pictures_that_are_not_there_are_all_named(folder: Path) -> None:
    table = write_table(folder, "path,label", *rows(folder), "no1.png,red", "no2.png,blue")
    with pytest.raises(BadPictures, match=r"2 unreadable.*no1\.png: No such file or directory.*no2\.png") as caught:
        read(table)
    assert len(caught.value.bad) == 2
    assert len(read(table, skip_bad=True).skipped) == 2


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        (("path,label",), NoTableRows, "no picture to train on"),
        (("path,label,split", "a.png,red,val"), NoTableRows, "split column"),
        (("path,label,split", "a.png,red,dev"), BadTable, "line 2: split 'dev' is not one of train"),
        (("path,label", "a.png,red"), TooFewClasses, "only one class, 'red'"),
        (("path,label", "a.png,red", 'b.png,"gr\ten"'), UnusableLabel, "control character"),
        (("path,label", 'a.png,"red'), BadTable, "not a CSV file: unexpected end"),
        (("path,class_index", "a.png,0", "b.png,2"), BadTable, "no training row has 1"),
        (("path,class_index", "a.png,0", "b.png,999999999999"), BadTable, "not a number"),
        (("path,class_index", "a.png,٣"), BadTable, "not a number"),
        (("path,label,class_index", "a,red,0", "b,blue,1", "c,blue,0"), BadTable, "class_index 0 is 'red', not 'blue'"),
    ],
)
def test_tables_that_cannot_be_trained_on(
    tmp_path: Path, lines: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read(write_table(tmp_path, *lines))


def test_an_index_that_names_another_class_than_the_checkpoint_is_refused(folder: Path) -> None:
    wrong = write_table(folder, "path,label,class_index", "val/red/000.png,red,1")
    with pytest.raises(BadTable, match="class_index 1 is 'green', not 'red'"):
        read_evaluation_pictures(wrong, LABELS)
    spelled = write_table(folder, "path,label,class_index", "val/red/000.png,rouge,2")
    assert read_evaluation_pictures(spelled, LABELS).samples[0].label == 2


CELLS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=8)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=8))
def test_what_csv_writes_is_read_again(cells: list[tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("path", "label"), *cells])
    found = [(row.picture, row.label) for row in parse(Path("x.csv"), io.StringIO(text.getvalue(), newline=""))]
    assert found == cells


@given(st.text(max_size=80))
def test_any_text_is_a_table_or_one_clear_error(text: str) -> None:
    try:
        list(parse(Path("x.csv"), io.StringIO("path,label,split\n" + text, newline="")))
    except BadTable as error:
        assert str(error).startswith("x.csv, line ")

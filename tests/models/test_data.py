from __future__ import annotations

import gc
import multiprocessing
import shutil
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bundle.preprocess import Pixels
from models.augment import Augment
from models.data import (
    map_in_order,
    read_evaluation_pictures,
    read_training_data,
    read_validation_pictures,
)
from models.datasets import picture_loader
from models.errors import (
    AmbiguousLabel,
    BadPictures,
    BadTable,
    DataNotFound,
    EmptyClass,
    MixedFolder,
    NoImages,
    NoPart,
    TooFewClasses,
    UnknownLabel,
    UnusableLabel,
)
from models.order import EvaluationOrder, Place
from models.splits import TEST
from tests.models.test_archives import pack
from tests.models.test_idx import write_pair
from tests.pictures import encode, plain
from tests.tiny import SPEC


@pytest.fixture
def folder(colours: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(colours, tmp_path / "colours"))


def read(root: Path, **options: object):
    return read_training_data(root, **{"validation_share": 0.25, "seed": 1, **options})  # type: ignore[arg-type]


def test_train_and_val_folders_are_taken_as_they_are(folder: Path) -> None:
    data = read(folder)
    assert data.classes == ("blue", "green", "red")
    assert (len(data.train.samples), len(data.validation.samples)) == (36, 15)
    assert {sample.path.parent.name for sample in data.train.samples if sample.label == 2} == {"red"}


def test_one_folder_is_split_by_class_with_the_seed(folder: Path) -> None:
    first, again, other = (read(folder / "train", seed=seed) for seed in (1, 1, 2))
    counts = [sum(sample.label == label for sample in first.validation.samples) for label in range(3)]
    assert counts == [3, 3, 3]
    assert first.validation.fingerprint == again.validation.fingerprint != other.validation.fingerprint
    assert not {s.path for s in first.train.samples} & {s.path for s in first.validation.samples}


def test_the_fingerprint_follows_the_content_not_the_place(folder: Path, tmp_path: Path) -> None:
    before = read(folder)
    moved = Path(shutil.move(folder, tmp_path / "elsewhere"))
    assert read(moved).train.fingerprint == before.train.fingerprint
    plain("red", seed=99).save(moved / "train" / "red" / "000.png")
    assert read(moved).train.fingerprint != before.train.fingerprint


def test_a_class_missing_from_validation_shifts_no_index(folder: Path) -> None:
    shutil.rmtree(folder / "val" / "green")
    data = read(folder)
    assert {(s.path.parent.name, s.label) for s in data.validation.samples} == {("blue", 0), ("red", 2)}


def test_a_class_only_in_validation_is_an_error_with_a_near_name(folder: Path) -> None:
    shutil.move(folder / "val" / "green", folder / "val" / "gren")
    with pytest.raises(UnknownLabel, match=r"'gren' is not one of the 3 known labels \(near: green"):
        read(folder)


def test_hidden_files_and_other_files_are_no_pictures(folder: Path) -> None:
    (folder / "train" / "red" / ".hidden.png").write_bytes(b"x")
    (folder / "train" / "red" / "notes.txt").write_text("x")
    (folder / "train" / ".cache").mkdir()
    assert len(read(folder).train.samples) == 36


def test_bad_pictures_are_all_named(folder: Path) -> None:
    bad = [folder / "train" / "red" / "bad1.png", folder / "val" / "blue" / "bad2.jpg"]
    bad[0].write_bytes(b"no picture")
    bad[1].write_bytes(b"")
    with pytest.raises(BadPictures, match=r"2 unreadable image.*bad1\.png: not an image.*bad2") as caught:
        read(folder)
    assert [path for path, _ in caught.value.bad] == bad
    data = read(folder, skip_bad=True)
    assert [path for path, _ in data.skipped] == bad
    assert (len(data.train.samples), len(data.validation.samples)) == (36, 15)


def test_a_class_of_bad_pictures_only_is_an_error_even_when_they_are_skipped(folder: Path) -> None:
    for path in (folder / "train" / "green").iterdir():
        path.write_bytes(b"x")
    with pytest.raises(EmptyClass, match="no image for green in train"):
        read(folder, skip_bad=True)


@pytest.mark.parametrize(
    ("prepare", "error", "message"),
    [
        (lambda root: None, NoImages, "no images"),
        (lambda root: (root / "notes.txt").write_text("x"), NoImages, "no images"),
        (lambda root: write(root / "cats" / "1.png"), TooFewClasses, "only one class, 'cats'"),
        (lambda root: (write(root / "a\tb" / "1.png"), write(root / "c" / "1.png")), UnusableLabel, "control"),
    ],
)
def test_folders_that_are_no_data(tmp_path: Path, prepare, error: type[Exception], message: str) -> None:
    prepare(tmp_path)
    with pytest.raises(error, match=message):
        read(tmp_path)


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plain("red").save(path)


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="no such data"):
        read(tmp_path / "none")


LABELS = ("blue", "green", "red")


@pytest.mark.parametrize(
    ("header", "row"), [("path,label", "val/red/000.png,red"), ("file,class_index,more", "val/red/000.png,2,x")]
)
def test_a_table_names_pictures_beside_it(folder: Path, header: str, row: str) -> None:
    (folder / "list.csv").write_text(f"\ufeff{header}\n{row}\n", encoding="utf-8")
    pictures = read_evaluation_pictures(folder / "list.csv", LABELS)
    assert [(s.path, s.label) for s in pictures.samples] == [(folder / "val" / "red" / "000.png", 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,klass\n", "line 1: no column class_index or label in path, klass"),
        ("", "an empty header"),
        ("path,label\nval/red/000.png\n", "line 2: a cell is empty"),
        ("path,class_index\nval/red/000.png,3\n", r"'3' is not one of 0\.\.2"),
        ("path,class_index\nval/red/000.png,-1\n", "'-1'"),
    ],
)
def test_a_broken_table_says_where(folder: Path, text: str, message: str) -> None:
    (folder / "list.csv").write_text(text)
    with pytest.raises(BadTable, match=message):
        read_evaluation_pictures(folder / "list.csv", LABELS)


def test_a_binary_file_is_no_table(folder: Path) -> None:
    with pytest.raises(BadTable, match="not a CSV"):
        read_evaluation_pictures(folder / "val" / "red" / "000.png", LABELS)


def test_labels_in_a_table_must_be_known_and_single(folder: Path) -> None:
    (folder / "list.csv").write_text("path,label\nval/red/000.png,crane\n")
    with pytest.raises(UnknownLabel):
        read_evaluation_pictures(folder / "list.csv", LABELS)
    with pytest.raises(AmbiguousLabel, match="two classes are called 'crane'"):
        read_evaluation_pictures(folder / "list.csv", ("crane", "tench", "crane"))


def test_a_folder_of_classes_and_its_val_folder_are_the_same(folder: Path) -> None:
    whole = read_evaluation_pictures(folder, LABELS)
    assert whole.fingerprint == read_evaluation_pictures(folder / "val", LABELS).fingerprint
    assert whole.labelled


def test_a_flat_folder_has_no_labels(folder: Path) -> None:
    pictures = read_evaluation_pictures(folder / "val" / "red", LABELS)
    assert (len(pictures.samples), pictures.labelled) == (5, False)


def test_batches_hold_every_picture_in_order(folder: Path) -> None:
    pictures = read_evaluation_pictures(folder, LABELS)
    sizes = [len(batch) for batch in pictures.batches(SPEC, 4)]
    assert sizes == [4, 4, 4, 3]
    means = [tensor.mean(axis=(0, 1)).argmax() for tensor in pictures.tensors(SPEC)]
    assert means == [2] * 5 + [1] * 5 + [0] * 5


@given(st.lists(st.integers(), max_size=60))
def test_threads_keep_the_order(numbers: list[int]) -> None:
    assert list(map_in_order(lambda number: number * 2, numbers)) == [number * 2 for number in numbers]


def test_classes_may_be_called_like_splits(tmp_path: Path) -> None:
    for name in ("valid", "invalid", "train"):
        for number in range(4):
            write(tmp_path / name / f"{number}.png")
    data = read(tmp_path)
    assert data.classes == ("invalid", "train", "valid")
    pictures = read_evaluation_pictures(tmp_path, data.classes)
    assert (len(pictures.samples), pictures.labelled) == (12, True)


def test_a_stray_picture_beside_the_classes_is_refused(folder: Path) -> None:
    write(folder / "val" / "cover.png")
    with pytest.raises(MixedFolder, match=r"pictures \(cover\.png\) beside folders of pictures"):
        read_evaluation_pictures(folder / "val", LABELS)


def test_an_endless_class_index_is_refused(folder: Path) -> None:
    (folder / "list.csv").write_text(f"path,class_index\nval/red/000.png,{'9' * 5000}\n")
    with pytest.raises(BadTable, match="class_index '9999"):
        read_evaluation_pictures(folder / "list.csv", LABELS)


def test_a_test_folder_is_checked_and_kept_apart(folder: Path) -> None:
    shutil.copytree(folder / "val", folder / "test")
    shutil.rmtree(folder / "val" / "green")
    plain("red", seed=77).save(folder / "test" / "red" / "new.png")
    data = read(folder)
    assert data.test is not None
    assert (len(data.validation.samples), len(data.test.samples)) == (10, 16)
    assert len(read_evaluation_pictures(folder, LABELS).samples) == 10
    assert len(read_evaluation_pictures(folder, LABELS, part=TEST).samples) == 16
    shutil.rmtree(folder / "val")
    assert len(read_evaluation_pictures(folder, LABELS).samples) == 16
    held_out = read(folder)
    assert (len(held_out.train.samples), len(held_out.validation.samples)) == (27, 9)


def test_validation_alone_is_the_same_validation(folder: Path) -> None:
    for root in (folder, folder / "train"):
        alone = read_validation_pictures(root, LABELS, validation_share=0.25, seed=1)
        assert alone.fingerprint == read(root).validation.fingerprint


def test_an_empty_validation_folder_is_an_error(folder: Path) -> None:
    for path in (folder / "val").iterdir():
        shutil.rmtree(path)
    with pytest.raises(NoImages, match="val: no images"):
        read(folder)


def test_a_class_called_test_is_a_class(folder: Path) -> None:
    for part in ("train", "val"):
        shutil.move(folder / part / "red", folder / part / "test")
    data = read(folder / "train")
    assert (data.classes, data.test) == (("blue", "green", "test"), None)
    assert len(read_evaluation_pictures(folder / "val", data.classes).samples) == 15


def test_pictures_in_two_splits_are_leaks(folder: Path) -> None:
    assert read(folder).leaks == ()
    shutil.copy(folder / "train" / "red" / "003.png", folder / "val" / "red" / "other name.png")
    shutil.copy(folder / "train" / "blue" / "001.png", folder / "train" / "blue" / "again.png")
    (leak,) = read(folder).leaks
    assert [(part, sample.path.name) for part, sample in leak.places] == [
        ("train", "003.png"),
        ("validation", "other name.png"),
    ]
    assert (leak.leaks, leak.contradicts) == (True, False)


def test_a_source_without_the_part_that_is_asked_for(folder: Path) -> None:
    shutil.rmtree(folder / "val")
    with pytest.raises(NoPart, match=r"no pictures for validation or test or all \(there are: train\)"):
        read_evaluation_pictures(folder, LABELS)


def test_labels_of_an_earlier_run_rule_the_order(folder: Path) -> None:
    shutil.rmtree(folder / "train" / "blue")
    labels = ("red", "green", "blue")
    data = read_training_data(folder / "train", validation_share=0.25, seed=1, labels=("red", "green"))
    assert {(s.path.parent.name, s.label) for s in data.train.samples} == {("red", 0), ("green", 1)}
    with pytest.raises(EmptyClass, match="no image for blue"):
        read_training_data(folder / "train", validation_share=0.25, seed=1, labels=labels)


def test_memory_per_picture_is_a_few_names(tmp_path: Path) -> None:
    """Nothing decoded stays: what a picture costs is its path, its label and its hash."""
    for colour in ("red", "blue"):
        (tmp_path / colour).mkdir()
        content = encode(plain(colour, 200, 150))
        for number in range(300):
            (tmp_path / colour / f"{number:06d}.png").write_bytes(content)
    tracemalloc.start()
    data = read(tmp_path)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(data.train.samples) == 450
    assert kept / 600 < 2_000, f"{kept / 600:.0f} bytes per picture"


@pytest.mark.parametrize("kind", ["folder", "table", "zip", "idx"])
def test_every_kind_reaches_a_loaders_processes(colours: Path, tmp_path: Path, kind: str) -> None:
    files = sorted((colours / "train").glob("*/*.png"))
    if kind == "table":
        source = tmp_path / "list.csv"
        source.write_text("path,label\n" + "".join(f"{file},{file.parent.name}\n" for file in files))
    elif kind == "zip":
        source = pack(colours, tmp_path / "colours.zip")
    elif kind == "idx":
        source = write_pair(tmp_path / "idx").parent
    else:
        source = colours
    data = read(source)
    spec = SPEC.model_copy(update={"resize": 64, "crop": 64})
    loader = picture_loader(
        data.train, Augment("none", spec), 8, EvaluationOrder(len(data.train.samples), Place()), seed=0
    )
    assert loader.num_workers > 0
    assert [int(label) for _, batch in loader for label in batch] == [sample.label for sample in data.train.samples]


def test_a_loaders_processes_leave_what_was_garbage_before(colours: Path) -> None:
    ended = multiprocessing.get_context("fork").Value("i", 0)

    class Endless:
        def __init__(self) -> None:
            self.myself = self

        def __del__(self) -> None:
            ended.value += 1

    def collecting(image: Image.Image) -> Pixels:
        gc.collect()
        return Augment("none", SPEC)(image)

    data = read(colours).train
    gc.collect()
    gc.disable()
    try:
        Endless()
        order = EvaluationOrder(len(data.samples), Place())
        assert sum(len(labels) for _, labels in picture_loader(data, collecting, 8, order, seed=0)) == 36  # type: ignore[arg-type]
        assert ended.value == 0
    finally:
        gc.enable()
    gc.collect()
    assert ended.value == 1

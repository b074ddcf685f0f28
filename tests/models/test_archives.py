from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import stat
import struct
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import models.archives
from bundle.errors import TooManyBytes
from models.archives import ZipStore, ZipTree
from models.augment import Augment
from models.data import read_evaluation_pictures, read_training_data
from models.datasets import picture_loader
from models.errors import ArchiveUnreadable, ArchiveUnsafe, BadPictures, BadTable, NoImages
from models.order import EvaluationOrder, Place
from models.trees import pictures
from tests.pictures import encode, plain
from tests.tiny import SPEC

LABELS = ("blue", "green", "red")


def read(path: Path, **options: object):
    return read_training_data(path, **{"validation_share": 0.25, "seed": 1, **options})  # type: ignore[arg-type]


def pack(folder: Path, target: Path, prefix: str = "", compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(target, "w", compression) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, prefix + str(file.relative_to(folder)))
    return target


@pytest.mark.parametrize("prefix", ["", "colours/", "a/b/"])
def test_a_zip_is_the_folder_that_it_was_made_of(colours: Path, tmp_path: Path, prefix: str) -> None:
    zipped, folder = read(pack(colours, tmp_path / "colours.zip", prefix)), read(colours)
    assert zipped.classes == folder.classes
    assert zipped.train.fingerprint == folder.train.fingerprint
    assert zipped.validation.fingerprint == folder.validation.fingerprint


def test_a_zip_without_splits_is_split_as_its_folder(colours: Path, tmp_path: Path) -> None:
    zipped = read(pack(colours / "train", tmp_path / "train.zip"))
    assert zipped.validation.fingerprint == read(colours / "train").validation.fingerprint


def test_what_macos_adds_is_not_seen(colours: Path, tmp_path: Path) -> None:
    path = pack(colours, tmp_path / "colours.zip", "colours/")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/colours/train/red/._000.png", b"x")
        archive.writestr("colours/train/red/.DS_Store", b"x")
    assert len(read(path).train.samples) == 36


@pytest.mark.parametrize("prefix", ["", "data/"])
def test_a_zip_of_a_table(colours: Path, tmp_path: Path, prefix: str) -> None:
    files = sorted((colours / "train").glob("*/*.png"))
    lines = ["path,label", *(f"./{file.relative_to(colours)},{file.parent.name}" for file in files)]
    path = pack(colours, tmp_path / "colours.zip", prefix)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{prefix}list.csv", "\n".join(lines))
    assert read(path).train.fingerprint == read(colours / "train").train.fingerprint
    assert len(read_evaluation_pictures(path, LABELS).samples) == 36


@pytest.mark.parametrize(
    ("text", "message"),
    [("path,label\n../../etc/x.png,red\n", "not in the archive"), ("path,label\n/x.png,red\n", "not in the archive")],
)
def test_a_table_in_a_zip_stays_inside(tmp_path: Path, text: str, message: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("list.csv", text)
    with pytest.raises(BadTable, match=message):
        read_evaluation_pictures(tmp_path / "x.zip", LABELS)


def test_a_binary_table_in_a_zip_is_one_line(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("list.csv", b"\xff\xfe\x00")
    with pytest.raises(BadTable, match="not a CSV"):
        read_evaluation_pictures(tmp_path / "x.zip", LABELS)


def entries(*names: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for number, name in enumerate(names):
                archive.writestr(name, encode(plain("red", seed=number)))

    return write


@pytest.mark.parametrize(
    "name", ["../up.png", "/etc/x.png", "a/../../x.png", "a\\b.png", "C:/x.png", "a//b.png", "./a.png", "a/./b.png"]
)
def test_names_that_could_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    entries("red/1.png", "blue/1.png", name)(tmp_path / "x.zip")
    with pytest.raises(ArchiveUnsafe, match="no plain relative name"):
        read(tmp_path / "x.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    entries("red/1.png", "red/1.png", "blue/1.png")(tmp_path / "x.zip")
    with pytest.raises(ArchiveUnsafe, match="'red/1.png' is there twice"):
        read(tmp_path / "x.zip")


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    entries("red/1.png", "blue/1.png")(path)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(ArchiveUnsafe, match="is encrypted"):
        read(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.archives, "FREE_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("red/1.bmp", bytes(4 << 20))
    with pytest.raises(ArchiveUnsafe, match=r"would unpack to 0\.0 GB"):
        read(tmp_path / "x.zip")


def test_one_entry_too_large_for_a_picture_is_a_bad_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colours: Path
) -> None:
    path = pack(colours, tmp_path / "x.zip")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/red/large.png", bytes(65 << 20))
    with pytest.raises(BadPictures, match=r"large\.png: the image is larger than"):
        read(path)
    with pytest.raises(TooManyBytes):
        ZipStore(path).read(path / "train/red/large.png")


def test_an_entry_that_lies_about_its_size_stays_bounded(tmp_path: Path) -> None:
    """The sizes in the directory say 10 bytes; the stream behind them is longer."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("red/1.png", bytes(1 << 20))
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 10)
    path.write_bytes(data)
    sample = ZipTree(path).sample("red/1.png", 0)
    with pytest.raises(Exception, match="cannot be taken out"):
        sample.read()


def test_damaged_entries_are_bad_pictures_with_a_reason(colours: Path, tmp_path: Path) -> None:
    path = pack(colours, tmp_path / "x.zip", compression=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(b"train/green/003.png") + 60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(BadPictures, match=r"1 unreadable.*green/003\.png: the image cannot be taken out.*CRC"):
        read(path)
    assert len(read(path, skip_bad=True).train.samples) == 35


def test_a_link_in_a_zip_leads_nowhere(colours: Path, tmp_path: Path) -> None:
    path = pack(colours, tmp_path / "x.zip")
    link = zipfile.ZipInfo("train/red/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BadPictures, match=r"link\.png: not an image"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip at all"])
def test_no_zip_at_all(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(ArchiveUnreadable, match="not a zip file"):
        read(tmp_path / "x.zip")


def test_an_empty_zip_has_no_images(tmp_path: Path) -> None:
    entries()(tmp_path / "x.zip")
    with pytest.raises(NoImages):
        read(tmp_path / "x.zip")


@given(st.lists(st.text("ab/.\\:\0 é", min_size=1, max_size=8), max_size=4, unique=True))
def test_any_names_are_a_tree_inside_or_one_clear_error(names: list[str]) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"convoy-names-{os.getpid()}.zip"
    try:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                entry = zipfile.ZipInfo("x")
                entry.filename = f"{name}.png"  # past what the constructor would put right
                archive.writestr(entry, b"x")
        tree = ZipTree(path)
    except (ArchiveUnsafe, UserWarning):
        return
    finally:
        path.unlink(missing_ok=True)
    todo = [""]
    while todo:
        folder = todo.pop()
        todo += tree.folders(folder)
        for name in pictures(tree, folder):
            parts = tree.sample(name, None).path.relative_to(path).parts
            assert ".." not in parts
            assert all(part == part.strip("/") for part in parts)


def test_threads_and_processes_read_the_same_archive(colours: Path, tmp_path: Path) -> None:
    data = read(pack(colours, tmp_path / "colours.zip"))
    loader = picture_loader(
        data.train, Augment("none", SPEC), 8, EvaluationOrder(len(data.train.samples), Place()), seed=0
    )
    assert loader.num_workers > 0
    labels = [int(label) for _, batch in loader for label in batch]
    assert labels == [0] * 12 + [1] * 12 + [2] * 12
    samples = pickle.loads(pickle.dumps(data.train.samples))
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.extend(one.read() for one in samples)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(4 * [sample.read() for sample in data.train.samples])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_forked_process_opens_its_own(colours: Path, tmp_path: Path) -> None:
    store = read(pack(colours, tmp_path / "colours.zip")).train.samples[0].store
    assert isinstance(store, ZipStore)
    mine = store.archive()
    store._opened = (os.getpid() + 1, mine)
    assert store.archive() is not mine
    mine.close()


def test_the_cifar_zip(test_data: Path, tmp_path: Path) -> None:
    path = test_data / "cifar10_small.zip"
    data = read(path, validation_share=0.1)
    assert {part: len(pictures.samples) for part, pictures in data.parts.items()} == {
        "train": 2700,
        "validation": 300,
        "test": 1000,
    }
    assert data.classes[0] == "airplane"
    assert data.leaks == ()
    assert len(read_evaluation_pictures(path, data.classes).samples) == 1000
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "out")
    assert read(tmp_path / "out", validation_share=0.1).validation.fingerprint == data.validation.fingerprint
    shutil.rmtree(tmp_path / "out")

"""torchvision's own loading code on small files in its formats; only the download is replaced."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torchvision.datasets

from models.data import address, read_evaluation_pictures, read_training_data
from models.errors import DataNotFound, DownloadFailed, UnknownLabel
from models.named_datasets import NAMED, cache_folder
from tests.models.test_idx import idx
from tests.pictures import plain

GENERATOR = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVOY_DATASETS", str(tmp_path / "cache"))
    return tmp_path / "cache"


def read(name: str, **options: object):
    return read_training_data(Path(name), **{"validation_share": 0.25, "seed": 1, **options})  # type: ignore[arg-type]


def save(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plain("red", 20 + seed % 7, 18, seed).save(path)


def write_mnist(root: Path, dataset: str) -> None:
    raw = root / dataset / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 40), ("t10k", 20)):
        pixels = GENERATOR.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8) % 10))


def write_cifar(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def write(name: str, content: dict[str, Any]) -> str:
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return hashlib.md5(data).hexdigest()

    def batch(count: int) -> dict[str, Any]:
        pixels = GENERATOR.integers(0, 256, (count, 3072), dtype=np.uint8)
        return {"data": pixels, "labels": [n % 10 for n in range(count)]}

    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    dataset = torchvision.datasets.CIFAR10
    train = [[name, write(name, batch(20))] for name, _ in dataset.train_list]
    monkeypatch.setattr(dataset, "train_list", train)
    monkeypatch.setattr(dataset, "test_list", [["test_batch", write("test_batch", batch(10))]])
    meta = {**dataset.meta, "md5": write("batches.meta", {"label_names": names})}
    monkeypatch.setattr(dataset, "meta", meta)


def write_flowers(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat

    folder = root / "flowers-102"
    numbers = np.arange(1, 409)
    for number in numbers:
        save(folder / "jpg" / f"image_{number:05d}.jpg", int(number))
    savemat(folder / "imagelabels.mat", {"labels": (numbers - 1) % 102 + 1})
    savemat(folder / "setid.mat", {"trnid": numbers[:204], "valid": numbers[204:306], "tstid": numbers[306:]})
    digests = {
        key: (name, hashlib.md5((folder / name).read_bytes()).hexdigest())
        for key, name in (("label", "imagelabels.mat"), ("setid", "setid.mat"))
    }
    dataset = torchvision.datasets.Flowers102
    monkeypatch.setattr(dataset, "_file_dict", {**dataset._file_dict, **digests})


def write_pets(root: Path) -> None:
    folder = root / "oxford-iiit-pet"
    for part in ("trainval", "test"):
        lines = []
        for number in range(12):
            name = f"{('Abyssinian', 'english_cocker_spaniel', 'Sphynx')[number % 3]}_{part}{number}"
            save(folder / "images" / f"{name}.jpg", number)
            lines.append(f"{name} {number % 3 + 1} 1 1")
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"{part}.txt").write_text("\n".join(lines))


def write_food(root: Path) -> None:
    folder = root / "food-101"
    (folder / "meta").mkdir(parents=True)
    for part in ("train", "test"):
        listed = {name: [f"{name}/{part}{number}" for number in range(5)] for name in ("waffles", "apple_pie")}
        (folder / "meta" / f"{part}.json").write_text(json.dumps(listed))
        for names in listed.values():
            for number, name in enumerate(names):
                save(folder / "images" / f"{name}.jpg", number)


def write_imagenette(root: Path) -> None:
    for part in ("train", "val"):
        for wnid in torchvision.datasets.Imagenette._WNID_TO_CLASS:
            for number in range(3):
                save(root / "imagenette2" / part / wnid / f"{number}.jpeg", number)


def test_mnist_and_its_files_are_one_data_set(cache: Path) -> None:
    write_mnist(cache / "mnist", "MNIST")
    data = read("mnist")
    assert data.classes == tuple("0123456789")
    assert {part: len(found.samples) for part, found in data.parts.items()} == {
        "train": 30,
        "validation": 10,
        "test": 20,
    }
    again = read_training_data(cache / "mnist" / "MNIST" / "raw", validation_share=0.25, seed=1)
    assert data.train.fingerprint == again.train.fingerprint
    theirs = torchvision.datasets.MNIST(str(cache / "mnist"), train=False)
    assert data.test is not None
    for sample, (image, label) in zip(data.test.samples, theirs, strict=True):
        np.testing.assert_array_equal(np.asarray(sample.image()), np.asarray(image.convert("RGB")))
        assert sample.label == label


def test_fashion_mnist_has_its_names(cache: Path) -> None:
    write_mnist(cache / "fashion_mnist", "FashionMNIST")
    data = read("fashion_mnist")
    assert data.classes == tuple(torchvision.datasets.FashionMNIST.classes)
    labels = tuple(reversed(data.classes))
    pictures = read_evaluation_pictures(Path("fashion_mnist"), labels)
    assert [sample.label for sample in pictures.samples[:3]] == [9, 8, 7]


def test_cifar10(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(cache / "cifar10", monkeypatch)
    data = read("cifar10")
    assert data.classes[:2] == ("airplane", "automobile")
    assert len(data.train.samples) + len(data.validation.samples) == 100
    theirs = torchvision.datasets.CIFAR10(str(cache / "cifar10"), train=False)
    assert data.test is not None
    for sample, (image, label) in zip(data.test.samples, theirs, strict=True):
        np.testing.assert_array_equal(np.asarray(sample.image()), np.asarray(image))
        assert sample.label == label


def test_flowers_have_three_parts(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_flowers(cache / "flowers102", monkeypatch)
    data = read("flowers102")
    assert len(data.classes) == 102
    assert {part: len(found.samples) for part, found in data.parts.items()} == {
        "train": 204,
        "validation": 102,
        "test": 102,
    }
    assert data.classes[data.train.samples[0].label or 0] == "pink primrose"


def test_pets_food_and_imagenette(cache: Path) -> None:
    write_pets(cache / "oxford_pets")
    write_food(cache / "food101")
    write_imagenette(cache / "imagenette")
    pets, food, imagenette = (read(name) for name in ("oxford_pets", "food101", "imagenette"))
    assert pets.classes == ("Abyssinian", "English Cocker Spaniel", "Sphynx")
    assert food.classes == ("apple_pie", "waffles")
    assert {(s.path.parent.name, s.label) for s in food.train.samples} == {("apple_pie", 0), ("waffles", 1)}
    assert imagenette.classes[:2] == ("tench", "English springer")
    assert imagenette.test is None
    assert len(imagenette.validation.samples) == 30


def test_the_download_is_torchvisions_and_whole_or_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(self: Any) -> None:
        if not Path(self.root, "food-101").exists():
            write_food(Path(self.root))

    monkeypatch.setattr(torchvision.datasets.Food101, "_download", download)
    assert len(read("food101").classes) == 2
    assert [path.name for path in cache.iterdir()] == ["food101"]


@pytest.mark.parametrize("name", NAMED)
def test_a_failed_download_is_one_line_and_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise URLError("no route to host")

    module = f"torchvision.datasets.{torchvision.datasets.__dict__[NAMED[name].dataset].__module__.rpartition('.')[2]}"
    monkeypatch.setattr(f"{module}.download_and_extract_archive", refuse)
    if name == "fashion_mnist":
        monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", refuse)
    with pytest.raises(DownloadFailed, match=rf"(?s)^{name} cannot be had \(.*no route to host.*check the network"):
        read(name)
    assert list(cache.iterdir()) == []


def test_a_damaged_cache_says_so(cache: Path) -> None:
    (cache / "cifar10").mkdir(parents=True)
    (cache / "mnist").mkdir()
    for name in ("cifar10", "mnist"):
        with pytest.raises(DownloadFailed, match="remove the folder to fetch it again"):
            read(name)


def test_labels_of_another_data_set_are_refused(cache: Path) -> None:
    write_food(cache / "food101")
    with pytest.raises(UnknownLabel, match="'apple_pie'"):
        read_evaluation_pictures(Path("food101"), ("cats", "dogs"))


def test_a_path_goes_before_a_name(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert address(Path("mnist")) == Path("mnist")
    Path("mnist").mkdir()
    assert address(Path("mnist")) == tmp_path / "mnist"


def test_a_name_nobody_knows_lists_the_near_ones() -> None:
    with pytest.raises(DataNotFound, match=r"near: cifar10"):
        read("cifar100")


def test_the_cache_lies_with_the_users_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVOY_DATASETS")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/convoy/datasets")

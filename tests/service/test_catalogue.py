from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from bundle.folder import open_bundle
from service.catalogue import Catalogue, find_bundles, version_order
from service.errors import FolderNotModels, ModelNotNamed, NotReady, UnknownModel, UnknownVersion
from service.settings import Settings
from tests.pictures import encode, plain
from tests.service.conftest import new_engine, served
from tests.tiny import write_tiny_bundle

RED = encode(plain("red"))


class Model(NamedTuple):
    name: str
    version: str


def test_versions_are_ordered_by_value_and_not_as_text() -> None:
    ordered = ["odd-2", "odd-10", "0.9", "1", "2.0rc1", "2", "2.0.1", "10"]
    shuffled = ordered[:]
    random.Random(0).shuffle(shuffled)
    assert sorted(shuffled, key=version_order) == ordered


def test_the_highest_version_is_the_default() -> None:
    catalogue = Catalogue([Model("a", "2"), Model("b", "1"), Model("a", "10")])
    assert catalogue.find("a").version == "10"
    assert catalogue.find("a", "2").version == "2"
    assert [model.version for model in catalogue.versions("a")] == ["2", "10"]
    assert Catalogue([Model("a", "2"), Model("a", "1")]).find(None).version == "2"


def test_what_is_not_there_is_named_beside_what_is() -> None:
    catalogue = Catalogue([Model("ants", "2"), Model("bees", "1")])
    with pytest.raises(ModelNotNamed, match="ants, bees"):
        catalogue.find(None)
    with pytest.raises(UnknownModel, match=r"near: ants"):
        catalogue.find("ant")
    with pytest.raises(UnknownVersion, match="loaded are 2"):
        catalogue.find("ants", "1")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name, version in (("photos", "2"), ("photos", "10"), ("other", "1")):
        folder = write_tiny_bundle(root / "made" / name, version=version)
        (root / name).mkdir(exist_ok=True)
        folder.rename(root / name / version)
    shutil.rmtree(root / "made")
    (root / "README").write_text("not a folder")
    (root / "photos" / ".11.unfinished").mkdir()
    return root


def test_a_folder_of_bundles_is_found_whole(several: Path, tiny_bundle: Path) -> None:
    assert [(a.name, a.version) for a in find_bundles(several)] == [("other", "1"), ("photos", "10"), ("photos", "2")]
    assert find_bundles(tiny_bundle) == [(tiny_bundle, None, None)]


def test_a_folder_that_is_neither_says_what_was_expected(tmp_path: Path, tiny_bundle: Path) -> None:
    with pytest.raises(FolderNotModels, match="no bundle in it"):
        find_bundles(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FolderNotModels, match="empty: no version in it"):
        find_bundles(tmp_path)
    shutil.copytree(tiny_bundle, tmp_path / "empty" / "1")
    shutil.copytree(tiny_bundle, tmp_path / "tiny")
    with pytest.raises(FolderNotModels, match=r"move it to tiny/VERSION"):
        find_bundles(tmp_path)
    (tmp_path / "tiny").rename(tmp_path / "a name")
    with pytest.raises(FolderNotModels, match="a name of letters"):
        find_bundles(tmp_path)


def test_several_models_answer_by_query_and_by_path(several: Path) -> None:
    engine = new_engine()
    engine.start(Settings(models=several, batching="off")).join()
    with served(engine) as service:
        expected = {
            "/predict?model=photos": ("photos", "10"),
            "/predict?model=photos&version=2": ("photos", "2"),
            "/models/photos/predict": ("photos", "10"),
            "/models/photos/versions/2/predict": ("photos", "2"),
            "/models/other/predict": ("other", "1"),
        }
        for path, (name, version) in expected.items():
            answer = service.post(RED, path).json()
            assert (answer["model"], answer["version"]) == (name, version)
            assert answer["bundle"] == open_bundle(several / name / version).id
        assert service.post(RED).status_code == 400
        assert "other, photos" in service.post(RED).json()["detail"]
        assert service.post(RED, "/models/nobody/predict").status_code == 404
        assert service.post(RED, "/models/photos/versions/3/predict").status_code == 404
        listed = [(model["name"], model["version"]) for model in service.get("/models").json()["models"]]
        assert listed == [("other", "1"), ("photos", "2"), ("photos", "10")]
        assert service.get("/models/photos").json()["version"] == "10"
        assert service.get("/models/photos").json()["versions"] == ["2", "10"]
        assert service.get("/models/photos/versions/2").json()["version"] == "2"
        assert len(service.get("/readyz").json()["models"]) == 3
        metrics = service.get("/metrics").text
        assert metrics.count("convoy_build_info{") == 3
        assert 'route="/models/{name}/versions/{version}/predict",status="200"' in metrics
    engine.stop()


@pytest.mark.parametrize("damage", ["label", "version", "manifest"])
def test_one_broken_bundle_of_several_keeps_all_from_being_ready(several: Path, tmp_path: Path, damage: str) -> None:
    root = Path(shutil.copytree(several, tmp_path / "models"))
    expected = {
        "label": "labels.txt: the content changed",
        "version": "its manifest 10",
        "manifest": "no bundle folder",
    }
    if damage == "label":
        (root / "photos" / "2" / "labels.txt").write_text("blue\ngreen\nreb\n")
    elif damage == "version":
        (root / "photos" / "10").rename(root / "photos" / "11")
    else:
        (root / "photos" / "2" / "manifest.json").unlink()
    engine = new_engine()
    engine.start(Settings(models=root, batching="off")).join()
    with pytest.raises(NotReady, match=expected[damage]):
        engine.ready()
    with served(engine) as service:
        response = httpx.post(service.url + "/models/other/predict", content=RED)
        assert (response.status_code, expected[damage] in response.json()["detail"]) == (503, True)

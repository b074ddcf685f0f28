from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bundle.errors import ArtefactInvalid
from bundle.folder import open_bundle
from export.bundle_writer import export as write_bundle
from export.errors import CompilerMissing
from export.runners import open_artefact
from export.targets import find_targets
from export.to_pt2 import METADATA, without_sources

compiled = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler here"
)


@pytest.fixture(scope="module")
def pt2(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "pt2"
    write_bundle(run, ["pt2"], out)
    return out


@pytest.mark.slow
@compiled
def test_the_library_keeps_the_answers_at_every_batch_size(pt2: Path) -> None:
    bundle = open_bundle(pt2)
    artefact = bundle.manifest.artefact("pt2")
    assert artefact.parity is not None
    assert artefact.parity.max_abs_difference < 1e-5
    run_file = open_artefact(bundle.root, artefact, threads=1)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    together = run_file(pixels)
    assert together.shape == (5, 3)
    np.testing.assert_allclose(together[:1], run_file(pixels[:1]), atol=1e-6)


@pytest.mark.slow
@compiled
def test_the_labels_are_inside_and_no_folder_of_this_machine_is(pt2: Path) -> None:
    with zipfile.ZipFile(pt2 / "model.pt2") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    assert not [name for name in content if name.endswith(".cpp")]
    (inside,) = (json.loads(text) for name, text in content.items() if name.endswith("wrapper_metadata.json"))
    assert tuple(json.loads(inside[METADATA])["labels"]) == open_bundle(pt2).manifest.labels
    home = str(Path(__file__).resolve().parents[2]).encode()
    for text in content.values():
        assert home not in text
        assert not re.search(rb"/(?:tmp|home|root)/", text)


def test_only_its_own_name_asks_for_it() -> None:
    assert "pt2" not in [target.name for target in find_targets(["server", "gpu"])]
    assert [target.name for target in find_targets(["pt2"])] == ["pt2"]


def test_no_compiler_is_one_clear_line(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    with pytest.raises(CompilerMissing, match=r"target pt2 needs a C\+\+ compiler: install g\+\+"):
        write_bundle(run, ["pt2"], tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_broken_file_is_no_package(bundle: Path, tmp_path: Path) -> None:
    artefact = open_bundle(bundle).manifest.artefact("onnx")
    (tmp_path / "model.pt2").write_bytes(b"no package at all")
    with pytest.raises(ArtefactInvalid, match=r"model\.pt2"):
        open_artefact(tmp_path, artefact.model_copy(update={"target": "pt2", "path": "model.pt2"}))


def test_sources_go_and_folders_become_slashes_of_the_same_length(tmp_path: Path) -> None:
    library = b"\x00/opt/some-one/lib/python3.11/torch/utils.h\x00/usr/lib/x.so\x00"
    with zipfile.ZipFile(tmp_path / "whole.pt2", "w") as archive:
        archive.writestr("a/model.so", library)
        archive.writestr("a/model.cpp", "// g++ -I/opt/some-one")
    without_sources(tmp_path / "whole.pt2", tmp_path / "model.pt2")
    with zipfile.ZipFile(tmp_path / "model.pt2") as archive:
        assert archive.namelist() == ["a/model.so"]
        left = archive.read("a/model.so")
    assert len(left) == len(library)
    assert b"some-one" not in left
    assert b"//utils.h\x00/usr/lib/x.so\x00" in left

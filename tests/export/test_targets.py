from __future__ import annotations

import json
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

import export.runners
import export.targets
import export.to_onnx
from bundle.folder import open_bundle
from export.bundle_writer import export as write_bundle
from export.errors import (
    GraphTooLarge,
    NothingPublished,
    OldBundleKept,
    TargetNeedsExtra,
    TargetTaken,
    UnknownTarget,
    WriterFailed,
)
from export.targets import TARGETS, find_targets, register
from export.verify import verify

SEVERAL = ["onnx", "onnx-fp16", "torchscript", "torchscript-fp16", "ort"]


@pytest.fixture(scope="module")
def several(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "several"
    write_bundle(run, SEVERAL, out)
    return out


def test_one_bundle_holds_several_proven_files(several: Path) -> None:
    manifest = open_bundle(several).manifest
    assert [artefact.target for artefact in manifest.artefacts] == SEVERAL
    for artefact in manifest.artefacts:
        assert artefact.path == TARGETS[artefact.target].file
        assert artefact.parity is not None
        assert artefact.accuracy is not None
        assert artefact.accuracy.passed
    sizes = {artefact.target: artefact.bytes for artefact in manifest.artefacts}
    assert sizes["onnx-fp16"] < 0.6 * sizes["onnx"]
    assert sizes["torchscript-fp16"] < 0.6 * sizes["torchscript"]
    assert not list(several.glob(".*"))


def test_verify_runs_each_in_its_own_runtime(several: Path, colours: Path) -> None:
    checks = {check.what for check in verify(several, colours)}
    assert {f"{kind} {target}" for kind in ("golden", "parity", "accuracy") for target in SEVERAL} <= checks


def test_labels_and_preprocessing_are_inside_each_format(several: Path) -> None:
    labels = list(open_bundle(several).manifest.labels)
    fp16 = {entry.key: entry.value for entry in onnx.load(several / "model-fp16.onnx").metadata_props}
    session = ort.InferenceSession(several / "model.ort", providers=["CPUExecutionProvider"])
    converted = session.get_modelmeta().custom_metadata_map
    with zipfile.ZipFile(several / "model.ts") as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("convoy.json")]
        script = json.loads(archive.read(name))
    assert json.loads(fp16["convoy.labels"]) == json.loads(converted["convoy.labels"]) == script["labels"] == labels


def test_every_batch_size_runs(several: Path) -> None:
    bundle = open_bundle(several)
    pixels = np.zeros((5, 32, 32, 3), np.uint8)
    for artefact in bundle.manifest.artefacts:
        run_file = export.runners.open_artefact(bundle.root, artefact, threads=1)
        assert run_file(pixels).shape == (5, 3)
        assert run_file(pixels[:1]).shape == (1, 3)


def test_groups_are_the_targets_that_say_so() -> None:
    names = [target.name for target in find_targets(["gpu", "onnx"])]
    assert names == ["onnx", "onnx-fp16", "torchscript", "torchscript-fp16"]
    assert len(names) == len(set(names))
    with pytest.raises(UnknownTarget, match="near: server"):
        find_targets(["servers"])


def test_every_target_belongs_to_a_runner_or_says_why_not() -> None:
    for target in TARGETS.values():
        assert (target.runner in export.runners.RUNNERS) != (target.unverified is not None)
        assert find_spec(target.writer) is not None


def test_a_target_is_registered_once() -> None:
    with pytest.raises(TargetTaken, match="'onnx'"):
        register(TARGETS["onnx"])


def test_a_missing_extra_says_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.targets, "find_spec", lambda module: None if module == "onnxscript" else object())
    with pytest.raises(TargetNeedsExtra, match=r"target onnx needs onnxscript: pip install -e '\.\[export\]'"):
        find_targets(["onnx"])


def test_a_runtime_that_is_missing_says_the_pip_line(several: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = open_bundle(several)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(TargetNeedsExtra, match=r"torchscript needs torch: pip install -e '\.\[train\]'"):
        export.runners.open_artefact(bundle.root, bundle.manifest.artefact("torchscript"))


def _broken(*_: object, **__: object) -> None:
    raise RuntimeError("no such\noperator in '/home/someone/lib/torch/jit.py'")


def test_what_fails_is_refused_and_the_rest_is_published(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.jit, "trace", _broken)
    exported = write_bundle(run, ["onnx", "torchscript"], tmp_path / "bundle")
    assert [artefact.target for artefact in exported.manifest.artefacts] == ["onnx"]
    (refusal,) = open_bundle(tmp_path / "bundle").manifest.refused
    assert refusal.target == "torchscript"
    assert "RuntimeError: no such operator in 'jit.py'" in refusal.reason
    assert "/home" not in (tmp_path / "bundle" / "manifest.json").read_text()
    assert "no such operator" in (tmp_path / "bundle" / "report.html").read_text()


def test_a_network_too_large_for_one_format_is_published_in_another(run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(export.to_onnx, "MAX_BYTES", 1000)
    exported = write_bundle(run, ["onnx", "torchscript"], tmp_path / "bundle")
    assert [artefact.target for artefact in exported.manifest.artefacts] == ["torchscript"]
    assert "choose another target" in exported.manifest.refused[0].reason
    with pytest.raises(GraphTooLarge) as caught:
        write_bundle(run, ["onnx"], tmp_path / "alone")
    assert caught.value.exit_code == 1


def test_a_refusal_never_replaces_a_bundle(run: Path, bundle: Path, tmp_path: Path, monkeypatch) -> None:
    write_bundle(run, ["onnx"], tmp_path / "bundle")
    before = open_bundle(tmp_path / "bundle").id
    monkeypatch.setattr(torch.jit, "trace", _broken)
    with pytest.raises(OldBundleKept, match="old bundle was kept") as caught:
        write_bundle(run, ["onnx", "torchscript"], tmp_path / "bundle", overwrite=True)
    assert caught.value.exit_code == 1
    assert open_bundle(tmp_path / "bundle").id == before


def test_nothing_is_published_when_nothing_passes(run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(torch.jit, "trace", _broken)
    monkeypatch.setattr(torch.onnx, "export", _broken)
    with pytest.raises(NothingPublished, match="none of 2 targets passed"):
        write_bundle(run, ["onnx", "torchscript"], tmp_path / "bundle")
    with pytest.raises(WriterFailed, match="torchscript: the exporter failed"):
        write_bundle(run, ["torchscript"], tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []

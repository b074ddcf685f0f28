from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bundle.errors import ArtefactInvalid
from bundle.folder import open_bundle
from export import litert_environment
from export.bundle_writer import export as write_bundle
from export.errors import EnvironmentMissing
from export.litert_environment import DEFAULT, SETTING, ScriptFailed, last_line, run_script
from export.runners import open_artefact, prepare
from export.targets import find_targets, left_out
from export.verify import verify

there = pytest.mark.skipif(
    litert_environment.python() is None, reason="LiteRT's environment is not there: make litert-env"
)


@pytest.fixture(scope="module")
def tflite(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "tflite"
    write_bundle(run, ["litert", "litert-int8"], out)
    return out


@there
def test_both_files_are_proven_in_literts_own_runtime(tflite: Path, colours: Path) -> None:
    manifest = open_bundle(tflite).manifest
    assert [artefact.path for artefact in manifest.artefacts] == ["model.tflite", "model-int8.tflite"]
    fp32, int8 = manifest.artefacts
    assert fp32.inputs[0].shape == (1, 32, 32, 3)
    assert fp32.inputs[0].dtype == "uint8"
    assert fp32.parity is not None
    assert fp32.parity.max_abs_difference < 1e-5
    assert {"torch", "litert-torch", "ai-edge-litert"} <= fp32.tools.keys()
    assert "ai-edge-quantizer" in int8.tools
    assert int8.quantization is not None
    assert int8.quantization.integer_operators >= 4
    assert int8.quantization.calibration.n > 0
    assert int8.bytes < 0.5 * fp32.bytes
    checks = {check.what for check in verify(tflite, colours)}
    assert {"golden litert", "golden litert-int8", "accuracy litert-int8"} <= checks


@there
@pytest.mark.parametrize("name", ["model.tflite", "model-int8.tflite"])
def test_labels_and_preprocessing_are_inside_the_file(tflite: Path, name: str) -> None:
    manifest = open_bundle(tflite).manifest
    with zipfile.ZipFile(tflite / name) as archive:
        assert archive.read("labels.txt").decode().splitlines() == list(manifest.labels)
        inside = json.loads(archive.read("convoy.json"))
    assert inside["preprocess"] == manifest.preprocess.model_dump(mode="json")
    content = (tflite / name).read_bytes()
    assert content[4:8] == b"TFL3"
    assert content.count(b"TFLITE_METADATA") == 1
    assert content.count(b"M001") == 1


@there
def test_an_answer_does_not_depend_on_its_neighbours(tflite: Path) -> None:
    bundle = open_bundle(tflite)
    run_file = open_artefact(bundle.root, bundle.manifest.artefact("litert"), threads=1)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    together = run_file(pixels)
    assert together.shape == (3, 3)
    np.testing.assert_array_equal(together, np.concatenate([run_file(one[None]) for one in pixels]))
    with pytest.raises(ValueError, match=r"expected uint8 \[N, 32, 32, 3\]"):
        run_file(pixels[:, 1:])


@there
def test_the_memory_told_is_that_of_the_process_that_runs_the_file(tflite: Path) -> None:
    bundle = open_bundle(tflite)
    artefact = bundle.manifest.artefact("litert")
    prepare(artefact, 1)
    run_file = open_artefact(bundle.root, artefact, threads=1)
    assert 10 < run_file.memory_mb() < 400  # type: ignore[attr-defined]  # torch alone takes more


@there
def test_a_broken_file_is_no_model(tflite: Path, tmp_path: Path) -> None:
    artefact = open_bundle(tflite).manifest.artefact("litert")
    (tmp_path / "model.tflite").write_bytes(b"no model at all")
    with pytest.raises(ArtefactInvalid, match=r"model\.tflite"):
        open_artefact(tmp_path, artefact)


@there
def test_a_script_that_fails_says_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(ScriptFailed, match="nothing.tflite") as caught:
        run_script("litert", "litert_metadata", path=tmp_path / "nothing.tflite", name="", labels=[], convoy="", size=1)
    assert str(tmp_path) not in str(caught.value)


def test_a_missing_environment_is_left_out_of_a_group_and_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, "/nowhere/python")
    names = [target.name for target in find_targets(["phone"])]
    assert "executorch" in names
    assert "litert" not in names
    absent = left_out(["phone"])
    assert list(absent) == ["litert", "litert-int8"]
    assert "make litert-env" in absent["litert"]
    with pytest.raises(EnvironmentMissing, match="target litert needs an environment of its own.*make litert-env"):
        find_targets(["phone", "litert"])
    assert left_out(["onnx", "litert"]) == {}


def test_the_environment_is_beside_ours_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SETTING, raising=False)
    assert litert_environment.python() in (None, DEFAULT)
    program = tmp_path / "python"
    program.write_text("")
    monkeypatch.setenv(SETTING, str(program))
    assert litert_environment.python() is None  # not executable
    program.chmod(0o755)
    assert litert_environment.python() == program


def test_the_last_line_is_the_last_that_says_something() -> None:
    assert last_line("first\n  second \n\n") == "second"
    assert last_line("\n") == ""


def test_the_export_says_what_it_left_out(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    import export.targets
    from convoy.main import app

    monkeypatch.setenv(SETTING, "/nowhere/python")
    kept = {name: target for name, target in export.targets.TARGETS.items() if name in ("ort", "litert", "onnx")}
    monkeypatch.setattr(export.targets, "TARGETS", kept)
    result = CliRunner().invoke(app, ["export", str(run), "--to", "phone", "--out", str(tmp_path / "b"), "--json"])
    assert result.exit_code == 0, result.output
    assert "left out: target litert needs an environment" in result.stderr
    assert len(json.loads(result.stdout)["left_out"]) == 1

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

import export.ladder
import export.onnx_quantizer
import export.stopwatch
import export.to_onnx_int8
import export.to_ort_int8
from bundle.classify import Classifier
from bundle.errors import ArtefactInvalid
from bundle.folder import open_bundle
from bundle.onnx_session import OnnxSession
from export.bundle_writer import export as write_bundle
from export.errors import NotQuantizable, WorkerDied
from export.job import Written
from export.ladder import Operators
from export.onnx_quantizer import OnnxQuantizer
from export.onnx_stem import square_stem
from export.proof import describe
from export.targets import TARGETS
from export.verify import verify
from models.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def int8(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "int8"
    write_bundle(run, ["onnx", "onnx-int8", "ort-int8"], out)
    return out


def test_the_manifest_tells_how_it_was_quantized(int8: Path) -> None:
    manifest = open_bundle(int8).manifest
    for target in ("onnx-int8", "ort-int8"):
        artefact = manifest.artefact(target)
        assert artefact.precision == "int8"
        quantization = artefact.quantization
        assert quantization is not None
        assert quantization.integer_operators >= 4  # two convolutions, three linear layers, minus fusions
        assert quantization.size_ratio < 0.5
        assert quantization.rungs[-1].passed
        assert [rung.passed for rung in quantization.rungs[:-1]] == [False] * (len(quantization.rungs) - 1)
        assert quantization.calibration.shared == 0
        assert artefact.accuracy is not None
        assert artefact.accuracy.passed


def test_its_own_golden_answers_come_out_again(int8: Path) -> None:
    manifest = open_bundle(int8).manifest
    assert manifest.artefact("onnx-int8").golden is not None
    assert Classifier(int8, "onnx-int8").check_golden() < 1e-3
    assert "golden ort-int8" in {check.what for check in verify(int8)}


def test_probabilities_do_not_come_in_steps(int8: Path) -> None:
    bundle = open_bundle(int8)
    artefact = bundle.manifest.artefact("onnx-int8")
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), np.uint8)
    found = OnnxSession(bundle.path(artefact), artefact).run(noise)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_its_normalisation_is_spread_over_rows(int8: Path) -> None:
    bundle = open_bundle(int8)
    model = onnx.load(bundle.path(bundle.manifest.artefact("onnx-int8")))
    crop = bundle.manifest.preprocess.crop
    assert [list(tensor.dims) for tensor in model.graph.initializer].count([1, 3, 1, crop]) == 2


def test_its_first_convolution_is_offered_squares(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = []

    def watched(model: onnx.ModelProto) -> bool:
        offered.append(square_stem(model))
        return offered[-1]

    monkeypatch.setattr("export.to_onnx_int8.square_stem", watched)
    write_bundle(run, ["onnx-int8"], tmp_path / "bundle")
    assert offered == [False]  # LeNet's takes every pixel


def test_the_report_shows_the_rungs(int8: Path) -> None:
    report = (int8 / "report.html").read_text()
    assert "min-max ranges, weights by channel" in report
    assert "training split" in report


def _ruined(self: OnnxQuantizer, path: Path, calibrator: str = "minmax", **options: object) -> None:
    """Ranges of a hundredth of the real ones: every activation is cut off."""
    from onnx import numpy_helper

    _quantize(self, path, calibrator, **options)  # type: ignore[arg-type]
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name.endswith("_scale"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(0.01), tensor.name))
    onnx.save(model, path)


_quantize = OnnxQuantizer.quantize


def test_the_ladder_goes_on_and_ends_with_a_reason(run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(OnnxQuantizer, "quantize", _ruined)
    monkeypatch.setattr(export.stopwatch, "speed_up", lambda *_: 1.5)
    with pytest.raises(NotQuantizable, match=r"lenet5 does not keep its answers as int8 \(min-max.*resnet18") as caught:
        write_bundle(run, ["onnx-int8"], tmp_path / "bundle")
    assert caught.value.exit_code == 1
    names = [rung.name for rung in caught.value.rungs]
    assert len(names) == 9
    assert names[3] == "moving averages of min and max"
    assert [name.startswith("fine-tuned for int8, ") for name in names] == [False] * 7 + [True] * 2
    assert all(rung.top1 is not None and rung.top1 < 0.9 for rung in caught.value.rungs)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("vnni", "told"), [(True, "fp16, or train"), (False, "fp16, or on a processor with VNNI (on")])
def test_a_refusal_tells_of_the_processor_where_it_is_a_reason(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vnni: bool, told: str
) -> None:
    monkeypatch.setattr("export.to_onnx_int8.has_integer_dot_product", lambda: vnni)
    monkeypatch.setattr("export.to_onnx_int8._attempts", lambda *_: iter(()))
    with pytest.raises(NotQuantizable, match=re.escape(told)):
        write_bundle(run, ["onnx-int8"], tmp_path / "bundle")


def test_a_rung_that_fails_is_followed_by_the_next(run: Path, tmp_path: Path, monkeypatch) -> None:
    def first_ruined(self: OnnxQuantizer, path: Path, calibrator: str = "minmax", **options: object) -> None:
        (_ruined if calibrator == "minmax" else _quantize)(self, path, calibrator, **options)  # type: ignore[operator]

    monkeypatch.setattr(OnnxQuantizer, "quantize", first_ruined)
    monkeypatch.setitem(export.onnx_quantizer.PICTURES, "percentile", 5)
    monkeypatch.setattr(export.stopwatch, "speed_up", lambda *_: 1.5)
    exported = write_bundle(run, ["onnx-int8"], tmp_path / "bundle")
    quantization = exported.manifest.artefacts[0].quantization
    assert quantization is not None
    assert [rung.passed for rung in quantization.rungs] == [False, True]
    assert quantization.method == "99.99 % ranges"
    assert quantization.calibration.n == 5


def test_a_writer_and_a_stopwatch_that_fail_are_failed_rungs(run: Path, tmp_path: Path, monkeypatch) -> None:
    def broken_once(self: OnnxQuantizer, path: Path, calibrator: str = "minmax", **options: object) -> None:
        if calibrator == "minmax":
            raise RuntimeError("no ranges in /home/someone/a.onnx")
        _quantize(self, path, calibrator, **options)  # type: ignore[arg-type]

    def dead_once(*_: object) -> float:
        if not died:
            died.append(True)
            raise WorkerDied("onnx-int8", "Killed")
        return 1.5

    died: list[bool] = []
    monkeypatch.setattr(OnnxQuantizer, "quantize", broken_once)
    monkeypatch.setattr(export.stopwatch, "speed_up", dead_once)
    quantization = write_bundle(run, ["onnx-int8"], tmp_path / "bundle").manifest.artefacts[0].quantization
    assert quantization is not None
    assert [rung.passed for rung in quantization.rungs] == [False, False, True]
    assert "RuntimeError: no ranges in a.onnx" in quantization.rungs[0].reason
    assert quantization.rungs[1].reason.endswith("ended while it was timed: Killed")


@pytest.mark.parametrize(
    ("operators", "ratio", "size", "reason"),
    [
        (Operators(0, 9), 3.0, 0.25, "no operator computes in integers"),
        (Operators(9, 0), 0.9, 0.6, "slower than fp32 (0.90x) and not smaller by half (0.60 of the size)"),
        (Operators(9, 0), 0.9, 0.3, None),
        (Operators(9, 0), 1.1, 0.9, None),
    ],
)
def test_int8_in_name_only_is_no_int8(monkeypatch, operators: Operators, ratio: float, size: float, reason) -> None:
    ladder = export.ladder.Ladder.__new__(export.ladder.Ladder)
    monkeypatch.setattr(export.ladder.Ladder, "size_ratio", lambda self, path: size)
    assert ladder.not_int8(Path("model"), operators, ratio) == reason


def test_the_ort_file_is_counted_itself(run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(export.stopwatch, "speed_up", lambda *_: 1.5)
    monkeypatch.setattr(export.to_ort_int8, "count_operators", lambda path, _: (7, len(path.suffix)))
    artefacts = write_bundle(run, ["onnx-int8", "ort-int8"], tmp_path / "bundle").manifest.artefacts
    onnx_int8, ort_int8 = (artefact.quantization for artefact in artefacts)
    assert onnx_int8 is not None
    assert ort_int8 is not None
    assert (ort_int8.integer_operators, ort_int8.float_operators) == (7, 4)
    assert onnx_int8.float_operators != 4

    monkeypatch.setattr(export.to_ort_int8, "count_operators", lambda *_: (0, 9))
    with pytest.raises(NotQuantizable, match="ort-int8: .*no operator computes in integers"):
        write_bundle(run, ["ort-int8"], tmp_path / "none")


def test_noise_is_measured_once(run: Path, tmp_path: Path, monkeypatch) -> None:
    def counted(self: OnnxQuantizer, calibrator: str) -> dict[str, float]:
        calls.append(calibrator)
        return noise(self, calibrator)  # type: ignore[arg-type]

    calls: list[str] = []
    noise = OnnxQuantizer._noise
    monkeypatch.setattr(OnnxQuantizer, "_noise", counted)
    monkeypatch.setattr(OnnxQuantizer, "quantize", _ruined)
    monkeypatch.setattr(export.stopwatch, "speed_up", lambda *_: 1.5)
    with pytest.raises(NotQuantizable):
        write_bundle(run, ["onnx-int8"], tmp_path / "bundle", budget=None)
    assert calls == ["minmax"]


def test_a_forgotten_proof_says_so(run: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"whatever")
    record = describe(TARGETS["onnx"], load_checkpoint(run).manifest, Written(tmp_path / "model.onnx"))
    assert (record.parity, record.unverified) == (None, "not proven yet")


def test_a_file_that_its_runtime_refuses_is_a_failed_rung(run: Path, tmp_path: Path, monkeypatch) -> None:
    opened = export.ladder.open_artefact

    def refuse_once(root: Path, artefact, threads=None):
        if not refused:
            refused.append(root)
            raise ArtefactInvalid(root / artefact.path, "made up")
        return opened(root, artefact, threads)

    refused: list[Path] = []
    monkeypatch.setattr(export.ladder, "open_artefact", refuse_once)
    monkeypatch.setattr(export.stopwatch, "speed_up", lambda *_: 1.5)
    quantization = write_bundle(run, ["onnx-int8"], tmp_path / "bundle").manifest.artefacts[0].quantization
    assert quantization is not None
    assert [rung.passed for rung in quantization.rungs] == [False, True]
    assert "refuses the file: model-int8.onnx" in quantization.rungs[0].reason

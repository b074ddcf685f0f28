"""Real weights on real pictures through every runtime: the same answers in fp32, at least 99 % of the top-1 in int8."""

from __future__ import annotations

from pathlib import Path

import pytest

import export.to_onnx_int8
from bundle.folder import open_bundle
from bundle.manifest import BundleManifest
from export import litert_environment
from export.bundle_writer import export as write_bundle
from export.errors import NotQuantizable
from export.ladder import Attempt
from export.onnx_quantizer import OnnxQuantizer
from models.pull import pull

pytestmark = pytest.mark.slow

FP32 = ("onnx", "torchscript", "ort", "executorch")
INT8 = ("onnx-int8", "ort-int8")
NETWORKS = ("resnet18", "mobilenet_v2", "squeezenet1_1")


@pytest.fixture(scope="module")
def runs(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every network as a checkpoint."""
    root = tmp_path_factory.mktemp("real")
    for name in NETWORKS:
        weights = str(test_data / "weights" / f"{name}_imagenet.safetensors")
        pull(name, root / name, weights=weights, labels=test_data / "imagenet_classes.txt")
    return root


def exported(runs: Path, test_data: Path, name: str, targets: tuple[str, ...], out: Path) -> BundleManifest:
    """Judged on the 300 pictures, calibrated on others."""
    write_bundle(
        runs / name, targets, out, data=test_data / "imagenet_sample.csv", calibration=test_data / "hymenoptera"
    )
    return open_bundle(out).manifest


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_answers_in_every_runtime(name: str, runs: Path, test_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("executorch")
    manifest = exported(runs, test_data, name, (*FP32, *INT8), tmp_path / name)
    assert [artefact.target for artefact in manifest.artefacts] == [*FP32, *INT8]
    for artefact in manifest.artefacts:
        assert artefact.parity is not None
        assert artefact.accuracy is not None
        flips = round((1 - artefact.parity.top1_agreement) * artefact.parity.n)
        print(f"{name} {artefact.target}: {flips} flips of {artefact.parity.n}, top-1 {artefact.accuracy.top1:.4f}")
        if artefact.precision == "fp32":
            assert flips <= 2
        assert artefact.accuracy.top1 >= 0.99 * artefact.accuracy.reference_top1


def test_mobilenet_v2_keeps_its_answers_on_a_phone(runs: Path, test_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("executorch")
    manifest = exported(runs, test_data, "mobilenet_v2", ("executorch-int8",), tmp_path / "phone")
    accuracy, quantization = manifest.artefacts[0].accuracy, manifest.artefacts[0].quantization
    assert accuracy is not None
    assert quantization is not None
    assert accuracy.top1 >= 0.99 * accuracy.reference_top1
    assert len(quantization.rungs) == 1
    assert quantization.size_ratio < 0.3


@pytest.mark.skipif(litert_environment.python() is None, reason="LiteRT's environment is not there: make litert-env")
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_litert_keeps_the_answers(name: str, runs: Path, test_data: Path, tmp_path: Path) -> None:
    fp32, int8 = exported(runs, test_data, name, ("litert", "litert-int8"), tmp_path / "phone").artefacts
    assert fp32.parity is not None
    assert int8.accuracy is not None
    assert int8.quantization is not None
    assert round((1 - fp32.parity.top1_agreement) * fp32.parity.n) <= 2
    assert int8.accuracy.top1 >= 0.99 * int8.accuracy.reference_top1
    assert len(int8.quantization.rungs) == 1
    assert int8.quantization.size_ratio < 0.3


def test_weights_quantized_by_tensor_are_caught(
    runs: Path, test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MobileNetV2's depthwise layers need a scale for every channel: without, nearly every answer is wrong."""

    def only_by_tensor(job, quantizer: OnnxQuantizer, scratch: Path):
        options = {"per_channel": False}
        yield Attempt("weights by tensor", export.to_onnx_int8._maker(job, quantizer, scratch, options))

    monkeypatch.setattr(export.to_onnx_int8, "_attempts", only_by_tensor)
    with pytest.raises(NotQuantizable, match="weights by tensor: top-1 agrees on") as caught:
        exported(runs, test_data, "mobilenet_v2", ("onnx-int8",), tmp_path / "bundle")
    (rung,) = caught.value.rungs
    assert rung.top1 is not None
    assert rung.top1 < 0.2
    assert not (tmp_path / "bundle").exists()

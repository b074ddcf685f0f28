"""Where an artefact computes, and that TorchScript answers as ONNX does once it is switched on."""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from bundle.errors import ArtefactMissing
from bundle.folder import open_bundle, record_file, write_manifest
from service.errors import NotReady, SettingInvalid
from service.runtime import Options, candidates, load_runtime, providers
from service.settings import Settings, read_settings
from tests.pictures import encode, plain
from tests.service.conftest import new_engine, served
from tests.tiny import CROP, MIX

CUDA, TENSORRT, CPU = "CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"


def test_providers_by_setting_and_build(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    artefact = open_bundle(tiny_bundle).manifest.artefacts[0]
    assert providers(Options(), artefact) == [CPU]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    assert providers(Options(), artefact) == [CUDA, CPU]
    assert providers(Options("cpu"), artefact) == [CPU]
    assert providers(Options("cuda"), artefact) == [CUDA, CPU]
    (name, settings), *rest = providers(Options("tensorrt", max_batch=64, cache=tmp_path), artefact)
    assert (name, rest) == (TENSORRT, [CUDA, CPU])
    assert settings == {
        "trt_profile_min_shapes": "image:1x8x8x3",
        "trt_profile_opt_shapes": "image:64x8x8x3",
        "trt_profile_max_shapes": "image:64x8x8x3",
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(tmp_path / "tensorrt"),
    }
    ((_, settings), *_) = providers(Options("tensorrt"), artefact)
    assert "trt_engine_cache_enable" not in settings


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_is_not_there_keeps_the_service_not_ready(tiny_bundle: Path, provider: Any) -> None:
    engine = new_engine()
    engine.start(Settings(models=tiny_bundle, provider=provider)).join()
    with pytest.raises(NotReady, match="CONVOY_PROVIDER: this onnxruntime has .*, and no "):
        engine.ready()


def test_a_provider_that_onnxruntime_gave_up_is_not_taken_for_the_wanted_one(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(tiny_bundle)
    monkeypatch.setattr("service.runtime.providers", lambda *_: [CPU])
    monkeypatch.setattr("service.runtime._name", lambda _: CUDA)
    with pytest.raises(SettingInvalid, match=f"{CUDA} could not be loaded here"):
        load_runtime(bundle, bundle.manifest.artefacts[0], 1, Options("cuda"))


def test_settings_reach_the_runtimes() -> None:
    found = read_settings({"CONVOY_MODELS": "x", "CONVOY_PROVIDER": "tensorrt", "CONVOY_BATCHING": "128"})
    assert found.runtime_options == Options("tensorrt", False, 128, None)
    assert read_settings({"CONVOY_MODELS": "x", "CONVOY_TORCHSCRIPT": "on"}).runtime_options.torchscript
    with pytest.raises(SettingInvalid, match=r"CONVOY_PROVIDER: .*'cuda'"):
        read_settings({"CONVOY_MODELS": "x", "CONVOY_PROVIDER": "gpu"})


@pytest.fixture(scope="module")
def scripted(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle as ONNX and as TorchScript."""
    import torch

    class MeanColour(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mix", torch.from_numpy(MIX))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.softmax(image.float().mean((1, 2)) @ self.mix, 1)

    root = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("scripted") / "tiny"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(MeanColour().eval(), (torch.zeros(2, CROP, CROP, 3, dtype=torch.uint8),))
        torch.jit.save(torch.jit.freeze(traced), str(root / "model.ts"))
    manifest = open_bundle(root).manifest
    record = record_file(root, "model.ts").model_dump()
    other = manifest.artefacts[0].model_copy(update={**record, "target": "torchscript"})
    write_manifest(root, manifest.model_copy(update={"artefacts": (*manifest.artefacts, other)}))
    return root


def test_torchscript_answers_over_http_as_onnx_does(scripted: Path) -> None:
    engine = new_engine()
    engine.start(Settings(models=scripted, artefact="torchscript", torchscript="on", batching=4)).join()
    with served(engine) as service:
        (model,) = service.get("/models").json()["models"]
        assert (model["runtime"], model["target"], model["providers"]) == ("torch", "torchscript", [CPU])
        assert service.post(encode(plain("green"))).json()["predictions"][0]["label"] == "green"
    engine.stop()
    bundle = open_bundle(scripted)
    pixels = np.random.default_rng(0).integers(0, 256, (5, CROP, CROP, 3), np.uint8)
    onnx, torchscript = (
        load_runtime(bundle, artefact, 1, Options(torchscript=True)).run(pixels)
        for artefact in bundle.manifest.artefacts
    )
    assert torchscript.dtype == np.float32
    np.testing.assert_allclose(torchscript, onnx, atol=1e-6)


def test_torchscript_is_not_touched_unless_it_is_switched_on(scripted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = open_bundle(scripted).manifest
    assert [artefact.target for artefact in candidates(manifest, "auto")] == ["onnx"]
    with pytest.raises(SettingInvalid, match="only with CONVOY_TORCHSCRIPT=on"):
        candidates(manifest, "torchscript")
    assert len(candidates(manifest, "auto", Options(torchscript=True))) == 2
    monkeypatch.setitem(sys.modules, "torch", None)
    engine = new_engine()
    engine.start(Settings(models=scripted, artefact="torchscript", torchscript="on")).join()
    with pytest.raises(NotReady, match="CONVOY_TORCHSCRIPT: needs torch"):
        engine.ready()


def test_what_nobody_has_proven_is_not_served(tiny_bundle: Path) -> None:
    manifest = open_bundle(tiny_bundle).manifest
    unproven = {"parity": None, "unverified": "not proven yet", "accuracy": None, "latency": None}
    artefact = manifest.artefacts[0].model_copy(update=unproven)
    with pytest.raises(ArtefactMissing):
        candidates(manifest.model_copy(update={"artefacts": (artefact,)}), "auto")


def test_a_file_that_is_no_torchscript_is_refused_in_one_line(scripted: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(scripted, tmp_path / "tiny"))
    (root / "model.ts").write_bytes(b"nothing")
    manifest = open_bundle(scripted).manifest
    broken = manifest.artefacts[1].model_copy(update=record_file(root, "model.ts").model_dump())
    write_manifest(root, manifest.model_copy(update={"artefacts": (manifest.artefacts[0], broken)}))
    engine = new_engine()
    engine.start(Settings(models=root, artefact="torchscript", torchscript="on")).join()
    with pytest.raises(NotReady, match=r"model\.ts") as caught:
        engine.ready()
    assert "\n" not in str(caught.value)

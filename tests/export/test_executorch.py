from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bundle.errors import ArtefactInvalid
from bundle.folder import open_bundle
from export.bundle_writer import export as write_bundle
from export.runners import open_artefact
from export.verify import verify
from models.checkpoint import load_checkpoint

pytest.importorskip("executorch")


@pytest.fixture(scope="module")
def pte(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "pte"
    write_bundle(run, ["executorch", "executorch-int8"], out)
    return out


def test_both_files_are_proven_in_executorchs_own_runtime(pte: Path, colours: Path) -> None:
    manifest = open_bundle(pte).manifest
    assert [artefact.path for artefact in manifest.artefacts] == ["model.pte", "model-int8.pte"]
    fp32, int8 = manifest.artefacts
    assert fp32.inputs[0].shape == (1, 32, 32, 3)
    assert fp32.parity is not None
    assert fp32.parity.max_abs_difference < 1e-5
    assert int8.quantization is not None
    assert int8.quantization.integer_operators >= 4
    assert int8.quantization.delegated_share is not None
    assert int8.bytes < 0.5 * fp32.bytes
    checks = {check.what for check in verify(pte, colours)}
    assert {"golden executorch", "golden executorch-int8", "accuracy executorch-int8"} <= checks


def test_the_labels_are_inside_the_file(pte: Path) -> None:
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(pte / "model.pte")
    method = program.load_method("convoy")
    assert method is not None
    (text,) = method.execute([])
    assert tuple(json.loads(text)["labels"]) == open_bundle(pte).manifest.labels


def test_a_wrong_shape_is_refused_before_the_runtime_sees_it(pte: Path) -> None:
    bundle = open_bundle(pte)
    run_file = open_artefact(bundle.root, bundle.manifest.artefact("executorch"))
    with pytest.raises(ValueError, match=r"expected uint8 \[N, 32, 32, 3\]"):
        run_file(np.zeros((1, 31, 32, 3), np.uint8))


def test_a_broken_file_is_no_program(pte: Path, tmp_path: Path) -> None:
    artefact = open_bundle(pte).manifest.artefact("executorch")
    (tmp_path / "model.pte").write_bytes(b"no program at all")
    with pytest.raises(ArtefactInvalid, match=r"model\.pte"):
        open_artefact(tmp_path, artefact)


def quantize(values: Tensor) -> Tensor:
    return values


def dequantize(values: Tensor) -> Tensor:
    return values


def test_what_gives_floats_is_no_integer_operator() -> None:
    from export.to_executorch_int8 import count_operators

    graph = torch.fx.Graph()
    pixels, weights, bias = (graph.placeholder(name) for name in ("pixels", "weights", "bias"))

    def call(function: object, *arguments: object) -> torch.fx.Node:
        return graph.call_function(function, arguments)  # type: ignore[arg-type]

    scaled = call(torch.div, pixels, 255)  # float: the picture is quantized behind it
    start = call(dequantize, call(quantize, scaled))
    layer = call(torch.conv2d, start, call(dequantize, weights), bias)  # integer, its bias and ReLU included
    clamped = call(dequantize, call(quantize, call(torch.relu, layer)))
    call(quantize, call(torch.add, clamped, start))  # integer
    call(quantize, call(torch.add, clamped, scaled))  # float: one side never was an integer
    graph.output(call(torch.softmax, call(torch.div, clamped, 1.5), 1))  # float, both
    operators = count_operators([graph])
    assert (operators.integers, operators.floats) == (2, 4)


def test_a_real_files_last_division_is_float(pte: Path) -> None:
    quantization = open_bundle(pte).manifest.artefact("executorch-int8").quantization
    assert quantization is not None
    assert quantization.float_operators >= 4  # to float, mean, std, temperature, softmax, but for what was folded


class Clamped(nn.Module):
    """A layer whose answers reach far beyond what its ReLU6 lets through."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(inplace=True)).eval()

    def forward(self, image: Tensor) -> Tensor:
        return self.layer((image.permute(0, 3, 1, 2).float() - 128) / 2).mean((2, 3))


def test_the_range_is_that_behind_the_clamp(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer

    import export.xnnpack_quantizer as module

    manifest = load_checkpoint(run).manifest
    tensors = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    pictures = torch.from_numpy(tensors[:1])

    def error() -> float:
        quantized = module.quantize(Clamped(), manifest, tensors, "minmax", layers_only=False)
        with torch.no_grad():
            return float((quantized(pictures) - Clamped()(pictures)).abs().max())

    ours = error()
    monkeypatch.setattr(module, "FusingQuantizer", XNNPACKQuantizer)
    assert ours < 0.05
    assert error() > 2 * ours  # when this fails XNNPACK sees the pair by itself: FusingQuantizer can go

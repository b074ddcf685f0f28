from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

import export.stopwatch
import export.to_onnx_int8
from bundle.folder import open_bundle
from export.bundle_writer import export as write_bundle
from export.errors import NotQuantizable, RungSkipped
from export.evaluation import evaluation_set
from export.fake_quantization import ActivationRounding, WeightRounding, set_rounding, with_rounding
from export.fine_tuning import Budget, fine_tune
from export.onnx_quantizer import LARGEST_WEIGHT, OnnxQuantizer
from models.checkpoint import load_checkpoint
from models.pull import pull
from models.validated import evaluation_pictures

COARSE = 1
"""Of the integers that weights may become: three values, where int8 has 255."""

quantize = OnnxQuantizer.quantize


def coarsely(self: OnnxQuantizer, path: Path, calibrator: str = "minmax", **options: object) -> None:
    """The real file, its weights rounded to three values a channel."""
    quantize(self, path, calibrator, **options)  # type: ignore[arg-type]
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1:
            values = np.round(numpy_helper.to_array(tensor) / LARGEST_WEIGHT * COARSE) * LARGEST_WEIGHT / COARSE
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.int8), tensor.name))
    onnx.save(model, path)


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target whose weights have three values, and nothing timed."""
    monkeypatch.setattr(OnnxQuantizer, "quantize", coarsely)
    monkeypatch.setattr(export.to_onnx_int8, "LARGEST_WEIGHT", COARSE)
    monkeypatch.setattr(export.stopwatch, "speed_up", lambda *_: 1.5)


@pytest.mark.usefixtures("coarse")
def test_fine_tuning_passes_where_every_other_rung_fails(run: Path, tmp_path: Path) -> None:
    budget = Budget(epochs=40, learning_rate=3e-3)  # three values ask for more than 255
    exported = write_bundle(run, ["onnx", "onnx-int8", "ort-int8"], tmp_path / "bundle", budget=budget)
    for target in ("onnx-int8", "ort-int8"):
        artefact = open_bundle(tmp_path / "bundle").manifest.artefact(target)
        assert artefact.quantization is not None
        rungs = artefact.quantization.rungs
        assert [rung.passed for rung in rungs] == [False] * (len(rungs) - 1) + [True]
        assert len(rungs) >= 8
        assert artefact.quantization.method.startswith("fine-tuned for int8, ")
        record = artefact.quantization.fine_tuning
        assert record is not None
        assert (record.epochs, record.steps) == (40, 80)
        assert (record.pictures.n, record.pictures.shared) == (36, 0)
        assert artefact.accuracy is not None
        assert artefact.accuracy.top1 >= 0.99 * artefact.accuracy.reference_top1
    assert exported.manifest.refused == ()
    assert "80 steps of fine-tuning over 36 pictures" in (tmp_path / "bundle" / "report.html").read_text()


@pytest.mark.usefixtures("coarse")
def test_switched_off_it_is_a_rung_with_that_reason(run: Path, tmp_path: Path) -> None:
    with pytest.raises(NotQuantizable) as caught:
        write_bundle(run, ["onnx-int8"], tmp_path / "bundle", budget=None)
    assert len(caught.value.rungs) == 8
    last = caught.value.rungs[-1]
    assert (last.name, last.reason) == ("fine-tuned for int8", "skipped: switched off (--no-qat)")


def test_a_pulled_network_has_no_training_pictures(run: Path, colours: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("blue\ngreen\nred\n")
    pull("lenet5", tmp_path / "pulled", weights=str(run / "weights.safetensors"), labels=tmp_path / "labels.txt")
    checkpoint = load_checkpoint(tmp_path / "pulled")
    pictures = evaluation_pictures(checkpoint.manifest, colours)
    reason = "skipped: no training pictures: pulled was not trained here"
    with evaluation_set(checkpoint, pictures) as evaluation, pytest.raises(RungSkipped, match=reason):
        fine_tune(checkpoint, evaluation, Budget())


def test_data_that_is_gone_is_the_reason(run: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(run)
    pictures = evaluation_pictures(checkpoint.manifest, None)
    provenance = checkpoint.manifest.provenance
    recipe = {**(provenance.recipe or {}), "data": str(tmp_path / "gone")}
    moved = checkpoint.manifest.model_copy(update={"provenance": provenance.model_copy(update={"recipe": recipe})})
    folder = dataclasses.replace(checkpoint.folder, manifest=moved)
    with evaluation_set(checkpoint, pictures) as evaluation, pytest.raises(RungSkipped, match=r"pictures: .*gone"):
        fine_tune(dataclasses.replace(checkpoint, folder=folder), evaluation, Budget())


def test_it_never_sees_what_it_is_judged_on(run: Path, colours: Path) -> None:
    checkpoint = load_checkpoint(run)
    pictures = evaluation_pictures(checkpoint.manifest, colours / "train" / "red")
    with evaluation_set(checkpoint, pictures) as evaluation:
        record = fine_tune(checkpoint, evaluation, Budget(epochs=1)).record
    assert (record.pictures.n, record.pictures.classes, record.pictures.shared) == (24, 2, 0)
    everything = evaluation_pictures(checkpoint.manifest, colours / "train")
    with evaluation_set(checkpoint, everything) as evaluation, pytest.raises(RungSkipped, match="all of them"):
        fine_tune(checkpoint, evaluation, Budget(epochs=1))


def test_the_checkpoint_keeps_its_weights(run: Path) -> None:
    checkpoint = load_checkpoint(run)
    before = copy.deepcopy(checkpoint.network.state_dict())
    with evaluation_set(checkpoint, evaluation_pictures(checkpoint.manifest, None)) as evaluation:
        tuned = fine_tune(checkpoint, evaluation, Budget(epochs=1, pictures=8, learning_rate=1e-3))
    after = tuned.checkpoint.network.state_dict()
    assert all(torch.equal(tensor, checkpoint.network.state_dict()[name]) for name, tensor in before.items())
    assert any(not torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert not tuned.checkpoint.network.training


class Blocks(nn.Module):
    """Everything whose place for rounding is peculiar."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.next = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), nn.SiLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 3))

    def forward(self, image: Tensor) -> Tensor:
        stem = self.stem(image.permute(0, 3, 1, 2).float() / 255)
        return self.head(self.next(stem))


def test_it_rounds_where_the_runtime_does() -> None:
    torch.manual_seed(0)
    module = Blocks().eval()
    pictures = torch.randint(0, 256, (6, 12, 12, 3), dtype=torch.uint8)
    graph = with_rounding(module, pictures[:2])
    assert sum(isinstance(part, WeightRounding) for part in graph.modules()) == 3
    # The picture, the stem behind its ReLU, a convolution, its sigmoid, their product, the mean, the answers.
    assert sum(isinstance(part, ActivationRounding) for part in graph.modules()) == 7
    assert dict(graph.named_parameters()).keys() == dict(module.named_parameters()).keys()
    set_rounding(graph, following=True)
    graph(pictures)
    set_rounding(graph, following=False)
    difference = (graph(pictures) - module(pictures)).abs().max()
    assert 0 < difference < 0.02 * module(pictures).abs().max()


def test_values_between_two_steps_are_rounded_and_the_gradient_passes() -> None:
    rounding = ActivationRounding()
    rounding(torch.tensor([-1.0, 1.55]))  # steps of a hundredth
    rounding.eval()
    values = torch.tensor([0.123, 0.128, 7.0], requires_grad=True)
    rounded = rounding(values)
    torch.testing.assert_close(rounded, torch.tensor([0.12, 0.13, 1.55]))
    rounded.sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert values.grad.tolist() == [1, 1, 0]
    weight = WeightRounding(127)(torch.tensor([[1.27, 0.004, 0.006], [12.7, 0.04, 0.06]]))
    torch.testing.assert_close(weight, torch.tensor([[1.27, 0.0, 0.01], [12.7, 0.0, 0.1]]))

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import export.deployable
import export.to_onnx
from bundle.errors import ConvoyError, GoldenMismatch, TargetExists
from bundle.folder import open_bundle, open_checkpoint
from bundle.image import decode
from bundle.preprocess import preprocess
from export.bundle_writer import export as write_bundle
from export.errors import AccuracyFailed, ParityFailed
from export.golden import choose
from export.verify import verify
from models.checkpoint import load_checkpoint
from models.data import Pictures, Sample
from models.errors import DataChanged, NoEvaluationData
from models.inference import logits_of, probabilities_of


def test_the_manifest_tells_the_whole_story(bundle: Path, run: Path) -> None:
    opened, checkpoint = open_bundle(bundle), open_checkpoint(run)
    manifest = opened.manifest
    assert manifest.provenance.parent_manifest_sha256 == checkpoint.id
    recipe = checkpoint.manifest.provenance.recipe
    assert recipe is not None
    assert manifest.provenance.recipe == {**recipe, "data": "colours"}
    assert manifest.metrics == checkpoint.manifest.metrics
    assert manifest.temperature == checkpoint.manifest.temperature
    artefact = manifest.artefact("onnx")
    assert artefact.parity.n == 15
    assert artefact.parity.max_abs_difference < 1e-5
    assert artefact.accuracy is not None
    assert artefact.accuracy.drop == 0
    assert (bundle / "labels.txt").read_text() == "blue\ngreen\nred\n"


def test_golden_answers_are_pytorchs_own(bundle: Path, run: Path) -> None:
    checkpoint, manifest = load_checkpoint(run), open_bundle(bundle).manifest
    assert len(manifest.golden) == 8
    assert {golden.label_index for golden in manifest.golden} == {0, 1, 2}
    for golden in manifest.golden:
        pixels = preprocess(decode(bundle / golden.image.path), manifest.preprocess)
        np.testing.assert_array_equal(np.load(bundle / golden.tensor.path), pixels)
        logits = logits_of(checkpoint.network, manifest.preprocess, iter([pixels[np.newaxis]]))
        expected = probabilities_of(logits, manifest.temperature)[0]
        np.testing.assert_allclose(np.load(bundle / golden.probabilities.path), expected, atol=1e-6)


def test_the_temperature_is_inside_the_graph(run: Path, bundle: Path) -> None:
    assert open_bundle(bundle).manifest.temperature != 1.0


class SwappedChannels(export.deployable.Deployable):
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image.flip(3))


class NoTemperature(export.deployable.Deployable):
    def forward(self, image: Tensor) -> Tensor:
        return torch.softmax(self.network(self.normalise(image)), dim=1)


def test_a_forgotten_temperature_is_caught_and_nothing_is_published(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export.to_onnx, "deployable", lambda one: NoTemperature(one.network, one.manifest))
    with pytest.raises(ParityFailed, match="a probability differs by") as caught:
        write_bundle(run, ["onnx"], tmp_path / "bundle")
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_another_interpolation_at_serving_time_is_caught(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    from bundle import preprocess as module

    monkeypatch.setitem(module._RESAMPLING, "bilinear", Image.Resampling.NEAREST)
    with pytest.raises(GoldenMismatch, match="other pixels"):
        verify(bundle)


def test_a_failed_gate_keeps_the_old_bundle(run: Path, bundle: Path, tmp_path: Path, monkeypatch) -> None:
    old = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    before = open_bundle(old).id
    monkeypatch.setattr(export.to_onnx, "deployable", lambda one: SwappedChannels(one.network, one.manifest))
    with pytest.raises(ParityFailed):
        write_bundle(run, ["onnx"], old, overwrite=True)
    assert open_bundle(old).id == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_pictures_without_labels_serve_for_parity_alone(run: Path, colours: Path, tmp_path: Path) -> None:
    exported = write_bundle(run, ["onnx"], tmp_path / "bundle", data=colours / "val" / "red")
    assert exported.manifest.metrics is None
    assert exported.manifest.artefacts[0].accuracy is None
    assert exported.manifest.artefacts[0].parity.n == 5
    assert {golden.label_index for golden in exported.manifest.golden} == {None}
    assert "Not measured" in (tmp_path / "bundle" / "MODEL_CARD.md").read_text()


def test_a_checkpoint_without_validation_needs_data(run: Path, tmp_path: Path) -> None:
    from models.pull import pull

    (tmp_path / "labels.txt").write_text("blue\ngreen\nred\n")
    weights = str(run / "weights.safetensors")
    pull("lenet5", tmp_path / "pulled", weights=weights, labels=tmp_path / "labels.txt")
    with pytest.raises(NoEvaluationData, match="--data"):
        write_bundle(tmp_path / "pulled", ["onnx"], tmp_path / "bundle")


def test_changed_validation_pictures_are_noticed(colours: Path, tmp_path: Path) -> None:
    from models.recipe import resolve_recipe
    from models.train import train

    data = Path(shutil.copytree(colours, tmp_path / "data"))
    train(resolve_recipe("lenet5", data, epochs=1), tmp_path / "run")
    shutil.copy(data / "val" / "red" / "000.png", data / "val" / "red" / "001.png")
    with pytest.raises(DataChanged, match="--data"):
        write_bundle(tmp_path / "run", ["onnx"], tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_an_existing_target_is_refused_first(run: Path, bundle: Path) -> None:
    with pytest.raises(TargetExists):
        write_bundle(run, ["onnx"], bundle)


def test_golden_pictures_are_spread_over_the_order() -> None:
    pictures = Pictures(tuple(Sample(Path(f"{n}.png"), 0) for n in range(100)), "validation")
    assert choose(pictures) == [0, 14, 28, 42, 57, 71, 85, 99]
    assert choose(Pictures(pictures.samples[:1], "validation")) == [0]
    assert choose(Pictures(pictures.samples[:3], "validation")) == [0, 1, 2]


def test_verify_measures_what_it_says(bundle: Path, colours: Path) -> None:
    checks = {check.what: check.result for check in verify(bundle, colours)}
    assert checks["bundle"] == open_bundle(bundle).id
    assert checks["golden onnx"].startswith("8 pictures, difference ")
    assert checks["accuracy onnx"].endswith("of 15 pictures")


def test_verify_finds_a_model_that_got_worse(bundle: Path, colours: Path, monkeypatch) -> None:
    import export.verify

    monkeypatch.setattr(export.verify, "run_all", lambda run, batches: np.eye(3, dtype=np.float32)[[0] * 15])
    with pytest.raises(AccuracyFailed, match=r"top-1 is 0\.3333"):
        verify(bundle, colours)


def test_verify_finds_labels_in_another_order(bundle: Path, tmp_path: Path) -> None:
    from bundle.folder import record_file, write_manifest

    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    (copy / "labels.txt").write_text("red\ngreen\nblue\n")
    manifest = open_bundle(bundle).manifest
    documents = tuple(record_file(copy, record.path) for record in manifest.documents)
    write_manifest(copy, manifest.model_copy(update={"documents": documents}))
    with pytest.raises(ConvoyError, match=r"labels\.txt.*not the manifest's labels"):
        verify(copy)


def test_no_path_of_this_machine_is_in_the_bundle(bundle: Path, run: Path, colours: Path) -> None:
    for path in bundle.rglob("*"):
        if path.is_file():
            for secret in (str(colours), str(run.parent), str(Path.cwd())):
                assert secret.encode() not in path.read_bytes(), path


def test_card_and_report_name_the_figures(bundle: Path) -> None:
    card, report = (bundle / "MODEL_CARD.md").read_text(), (bundle / "report.html").read_text()
    assert card.startswith("---\nlibrary_name: convoy\npipeline_tag: image-classification\n")
    assert "http" not in report
    for text in (card, report):
        assert "model.onnx" in text
        assert "100.00 % of 15" in text

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.classify import Classifier
from bundle.errors import ArtefactMissing, GoldenMismatch, ManifestInvalid
from bundle.folder import open_bundle, record_file, write_manifest
from bundle.golden import check_golden, read_array
from bundle.manifest import BundleManifest
from tests.tiny import probabilities_of


def test_the_golden_answers_come_out_again(tiny_bundle: Path) -> None:
    assert Classifier(tiny_bundle).check_golden() < 1e-6


def test_another_model_is_found(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    artefact = bundle.manifest.artefact("onnx")
    with pytest.raises(GoldenMismatch, match=r"onnx differs by [01]\S*, allowed 0\.001"):
        check_golden(bundle, artefact, lambda batch: np.stack([probabilities_of(pixels)[::-1] for pixels in batch]))


@pytest.mark.parametrize("wrong", [np.full((1, 3), np.nan, np.float32), np.ones((1, 4), np.float32)])
def test_answers_that_are_none_are_found(tiny_bundle: Path, wrong: np.ndarray) -> None:
    bundle = open_bundle(tiny_bundle)
    with pytest.raises(GoldenMismatch, match="not finite"):
        check_golden(bundle, bundle.manifest.artefact("onnx"), lambda _: wrong)


def republish(bundle: Path, **changes: object) -> None:
    """Write the manifest again with the files as they are now."""
    manifest = open_bundle(bundle).manifest.model_copy(update=changes)
    write_manifest(bundle, BundleManifest.model_validate(manifest.model_dump()))


def test_another_preprocessing_is_found(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))
    spec = open_bundle(bundle).manifest.preprocess
    republish(bundle, preprocess=spec.model_copy(update={"interpolation": "bicubic"}))
    with pytest.raises(GoldenMismatch, match="other pixels"):
        Classifier(bundle).check_golden()


def test_a_pickle_in_an_array_is_never_loaded(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))
    manifest = open_bundle(bundle).manifest
    np.save(bundle / "golden/0.tensor.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    record = record_file(bundle, "golden/0.tensor.npy")
    golden = (manifest.golden[0].model_copy(update={"tensor": record}), *manifest.golden[1:])
    write_manifest(bundle, manifest.model_copy(update={"golden": golden}))
    with pytest.raises(ManifestInvalid, match=r"not a plain \.npy"):
        read_array(open_bundle(bundle), record)


def test_classifies_and_reports_a_bad_file(tiny_bundle: Path, tmp_path: Path) -> None:
    classifier = Classifier(tiny_bundle)
    Image.new("RGB", (30, 20), (250, 10, 10)).save(tmp_path / "red.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (answers, error) = classifier.try_file(tmp_path / "red.png", 2)
    assert error is None
    assert [answer.label for answer in answers] == ["red", "blue"]
    assert classifier.try_file(tmp_path / "bad.png", 2)[1] == (
        "not an image of a type that is read here: expected one of JPEG, PNG, WEBP, BMP, GIF, TIFF"
    )
    assert "No such file" in str(classifier.try_file(tmp_path / "none.png", 2)[1])


def test_stages_are_observed(tiny_bundle: Path) -> None:
    seen: list[str] = []
    golden = open_bundle(tiny_bundle).manifest.golden[0].image
    Classifier(tiny_bundle).classify(tiny_bundle / golden.path, 1, lambda stage, seconds: seen.append(stage))
    assert seen == ["decode", "preprocess", "infer"]


def test_a_target_that_is_not_there_is_named(tiny_bundle: Path) -> None:
    with pytest.raises(ArtefactMissing, match="'onnx-int8'"):
        Classifier(tiny_bundle, "onnx-int8")


def test_golden_answers_that_are_nan_match_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))
    manifest = open_bundle(bundle).manifest
    np.save(bundle / "golden/0.probabilities.npy", np.full(3, np.nan, np.float32))
    record = record_file(bundle, "golden/0.probabilities.npy")
    golden = (manifest.golden[0].model_copy(update={"probabilities": record}), *manifest.golden[1:])
    write_manifest(bundle, manifest.model_copy(update={"golden": golden}))
    with pytest.raises(GoldenMismatch, match="differs by nan"):
        Classifier(bundle).check_golden()


def test_an_archive_of_arrays_is_no_golden_array(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))
    with (bundle / "golden/0.tensor.npy").open("wb") as file:
        np.savez(file, a=np.zeros(3))
    record = record_file(bundle, "golden/0.tensor.npy")
    manifest = open_bundle(tiny_bundle).manifest
    golden = (manifest.golden[0].model_copy(update={"tensor": record}), *manifest.golden[1:])
    write_manifest(bundle, manifest.model_copy(update={"golden": golden}))
    with pytest.raises(ManifestInvalid, match="an archive of several"):
        read_array(open_bundle(bundle), record)

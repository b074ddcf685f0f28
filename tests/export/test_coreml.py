from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from bundle.folder import open_bundle
from export.bundle_writer import export as write_bundle
from export.errors import GraphInvalid
from export.quiet import quiet
from export.verify import verify

pytest.importorskip("coremltools")

with quiet():
    import coremltools as ct

    from export.to_coreml import check, labels_of, unique


@pytest.fixture(scope="module")
def apple(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "apple"
    write_bundle(run, ["onnx", "coreml", "coreml-int8"], out)
    return out


def spec_of(bundle: Path, name: str, folder: Path) -> object:
    with zipfile.ZipFile(bundle / name) as archive:
        archive.extractall(folder)
    with quiet():
        return ct.models.MLModel(str(folder / "model.mlpackage"), skip_model_load=True).get_spec()


def test_what_cannot_be_run_is_unverified_and_never_passed(apple: Path) -> None:
    manifest = open_bundle(apple).manifest
    for target in ("coreml", "coreml-int8"):
        artefact = manifest.artefact(target)
        assert artefact.unverified is not None
        assert "macOS" in artefact.unverified
        assert (artefact.parity, artefact.accuracy, artefact.latency) == (None, None, None)
    lines = {one.what: one.result for one in verify(apple)}
    assert lines["parity coreml"].startswith("UNVERIFIED")
    assert "golden coreml" not in lines
    assert "unverified" in (apple / "MODEL_CARD.md").read_text()
    assert "UNVERIFIED" in (apple / "report.html").read_text()


def test_the_description_is_the_contract(apple: Path, tmp_path: Path) -> None:
    manifest = open_bundle(apple).manifest
    for name in ("model.mlpackage.zip", "model-int8.mlpackage.zip"):
        spec = spec_of(apple, name, tmp_path / name)
        check(spec, manifest)
        assert labels_of(spec) == list(manifest.labels)


def test_int8_weights_are_smaller(apple: Path) -> None:
    sizes = {one.target: one.bytes for one in open_bundle(apple).manifest.artefacts}
    assert sizes["coreml-int8"] < 0.75 * sizes["coreml"] < 0.75 * 0.75 * sizes["onnx"]


def test_labels_in_another_order_are_found(apple: Path, tmp_path: Path) -> None:
    manifest = open_bundle(apple).manifest
    spec = spec_of(apple, "model.mlpackage.zip", tmp_path)
    with pytest.raises(GraphInvalid, match="labels"):
        check(spec, manifest.model_copy(update={"labels": manifest.labels[::-1]}))


def test_equal_labels_are_told_apart() -> None:
    assert unique(["crane", "dog", "crane"]) == ["crane (0)", "dog", "crane (2)"]

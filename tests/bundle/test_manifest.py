from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from bundle.errors import ArtefactMissing
from bundle.folder import open_bundle
from bundle.manifest import BundleManifest, MapParity, Preprocess, RelativePath
from tests.tiny import write_tiny_bundle

path_adapter: TypeAdapter[str] = TypeAdapter(RelativePath)


@pytest.fixture
def document(tiny_bundle: Path) -> dict[str, Any]:
    return open_bundle(tiny_bundle).manifest.model_dump(mode="json")


def test_a_manifest_survives_json(document: dict[str, Any]) -> None:
    assert BundleManifest.model_validate(document).model_dump(mode="json") == document


def test_an_unknown_key_is_refused_wherever_it_is(document: dict[str, Any]) -> None:
    for place in (document, document["preprocess"], document["artefacts"][0], document["golden"][0]["image"]):
        place["shoe_size"] = 43
        with pytest.raises(ValidationError, match="shoe_size"):
            BundleManifest.model_validate(document)
        del place["shoe_size"]
    BundleManifest.model_validate(document)


def test_records_are_frozen(tiny_bundle: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        open_bundle(tiny_bundle).manifest.temperature = 2.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["only"]}, "at least 2 labels"),
        ({"labels": ["red", " ", "blue"]}, "label 1 is empty"),
        ({"labels": ["red", "gr\nen", "blue"]}, "label 1"),
        ({"labels": ["a", "b"]}, "2 labels|entries for"),
        ({"temperature": 0}, "greater than 0"),
        ({"temperature": float("nan")}, "finite"),
        ({"name": "../up"}, "pattern"),
        ({"golden": []}, "golden"),
        ({"artefacts": []}, "artefacts"),
    ],
)
def test_fields_are_checked(document: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BundleManifest.model_validate({**document, **change})


def test_a_golden_label_must_exist(document: dict[str, Any]) -> None:
    document["golden"][0]["label_index"] = 3
    with pytest.raises(ValidationError, match="label_index 3"):
        BundleManifest.model_validate(document)


def test_a_file_listed_twice_is_refused_even_in_capitals(document: dict[str, Any]) -> None:
    document["documents"].append({**document["documents"][0], "path": "LABELS.TXT"})
    with pytest.raises(ValidationError, match="listed twice"):
        BundleManifest.model_validate(document)


def test_an_output_of_another_width_is_refused(document: dict[str, Any]) -> None:
    document["artefacts"][0]["outputs"][0]["shape"] = ["N", 4]
    with pytest.raises(ValidationError, match="3 labels"):
        BundleManifest.model_validate(document)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_map": None}, "has its proof in class_map"),
        ({"outputs": 1}, "has its proof in class_map"),
        ({"outputs": 0}, "no output"),
        ({"name": "heat"}, "a second output is 'class_map'"),
        ({"shape": ["N", 8]}, r"class_map is float32 \[N, h, w\]"),
        ({"dtype": "uint8"}, r"class_map is float32 \[N, h, w\]"),
    ],
)
def test_a_class_map_is_described_and_proven(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    document = open_bundle(write_tiny_bundle(tmp_path / "tiny", explains=True)).manifest.model_dump(mode="json")
    BundleManifest.model_validate(document)
    artefact = document["artefacts"][0]
    if "outputs" in change:
        artefact["outputs"] = artefact["outputs"][: change["outputs"]]
    elif "class_map" in change:
        artefact["class_map"] = None
    else:
        artefact["outputs"][1] |= change
    with pytest.raises(ValidationError, match=message):
        BundleManifest.model_validate(document)


def test_a_map_outside_its_own_tolerance_is_refused() -> None:
    figures = {"n": 1, "max_relative_difference": 0.1, "correlation": 0.95, "min_correlation": 0.9}
    MapParity(**figures, tolerance=None)
    with pytest.raises(ValidationError, match="outside their own tolerance"):
        MapParity(**figures, tolerance=1e-3)
    with pytest.raises(ValidationError, match="outside their own tolerance"):
        MapParity(**{**figures, "correlation": 0.8}, tolerance=None)


def test_an_unknown_target_lists_those_there_are(tiny_bundle: Path) -> None:
    with pytest.raises(ArtefactMissing, match="it has onnx"):
        open_bundle(tiny_bundle).manifest.artefact("coreml")


def test_a_crop_larger_than_the_resize_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"crop \(225\)"):
        Preprocess(resize=224, crop=225, mean=(0, 0, 0), std=(1, 1, 1))
    with pytest.raises(ValidationError, match="std"):
        Preprocess(resize=224, crop=224, mean=(0, 0, 0), std=(1, 0, 1))


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "/etc/passwd", "a/../b", "../a", "a//b", "a/", "./a", "a\\b", "C:a", "a\0b", "a\nb", "a/./b"],
)
def test_paths_that_leave_the_folder_are_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        path_adapter.validate_python(path)


@given(st.text(max_size=30))
def test_an_accepted_path_stays_inside(path: str) -> None:
    try:
        accepted = path_adapter.validate_python(path)
    except ValidationError:
        return
    root = Path("/bundle")
    assert (root / accepted).is_relative_to(root)
    assert ".." not in Path(accepted).parts
    assert str(Path(accepted)) == accepted

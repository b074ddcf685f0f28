from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bundle.errors import GoldenMismatch, ManifestInvalid
from bundle.evidence import Accuracy, Flip, Parity, Quantization, Refusal, Rung
from bundle.folder import open_bundle, record_file, write_manifest
from bundle.golden import check_golden, write_array
from bundle.manifest import Artefact, BundleManifest
from tests.tiny import probabilities_of, write_tiny_bundle

share = st.floats(0, 1)
count = st.integers(0, 1000)
rung = st.builds(Rung, name=st.text(max_size=20), passed=st.booleans(), reason=st.text(max_size=40), top1=share)


@given(
    st.builds(
        Accuracy,
        n=st.integers(1, 1000),
        top1=share,
        reference_top1=share,
        drop=st.floats(-1, 1),
        drop_interval=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
        passed=st.booleans(),
        recall_change=st.lists(st.none() | st.floats(-1, 1), max_size=5).map(tuple),
        flips=st.lists(st.builds(Flip, reference=count, found=count, count=st.integers(1, 9)), max_size=3).map(tuple),
    )
)
def test_accuracy_survives_json(accuracy: Accuracy) -> None:
    assert Accuracy.model_validate_json(accuracy.model_dump_json()) == accuracy


@given(st.builds(Refusal, target=st.just("onnx-int8"), reason=st.text(), rungs=st.lists(rung, max_size=3).map(tuple)))
def test_a_refusal_survives_json(refusal: Refusal) -> None:
    assert Refusal.model_validate_json(refusal.model_dump_json()) == refusal


@pytest.fixture
def artefact(tiny_bundle: Path) -> dict[str, Any]:
    return open_bundle(tiny_bundle).manifest.artefacts[0].model_dump(mode="json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parity": None}, "has its parity, or the reason"),
        ({"unverified": "no phone here"}, "has its parity, or the reason"),
        (
            {"parity": None, "unverified": "no phone here", "latency": {"p50_ms": 1, "p95_ms": 1, "threads": 1}},
            "latency",
        ),
    ],
)
def test_not_run_is_never_passed(artefact: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Artefact.model_validate({**artefact, **change})


def test_an_unverified_artefact_has_no_figures(artefact: dict[str, Any]) -> None:
    unverified = {**artefact, "parity": None, "unverified": "no phone here"}
    assert Artefact.model_validate(unverified).parity is None
    latency = {"p50_ms": 1.0, "p95_ms": 1.0, "threads": 1, "machine": "here"}
    with pytest.raises(ValidationError, match="no measured figures"):
        Artefact.model_validate({**unverified, "latency": latency})


def test_int8_probabilities_may_move_but_not_the_answers() -> None:
    parity = {"n": 10, "max_abs_difference": 0.4, "tolerance": None, "min_top1_agreement": 0.9}
    Parity.model_validate({**parity, "top1_agreement": 0.9})
    with pytest.raises(ValidationError, match="outside its own tolerance"):
        Parity.model_validate({**parity, "top1_agreement": 0.8})
    with pytest.raises(ValidationError, match="outside its own tolerance"):
        Parity.model_validate({**parity, "tolerance": 0.1, "top1_agreement": 1.0})


def test_an_int8_file_without_integer_operators_has_no_record() -> None:
    values = {
        "method": "min-max",
        "calibration": {"source": "training split", "n": 1, "classes": 1, "fingerprint": "0" * 64, "shared": 0},
        "rungs": [],
        "float_operators": 9,
        "size_ratio": 0.3,
        "speed_up": 1.5,
    }
    Quantization.model_validate({**values, "integer_operators": 1})
    with pytest.raises(ValidationError, match="integer_operators"):
        Quantization.model_validate({**values, "integer_operators": 0})


def with_own_golden(root: Path, answers: np.ndarray) -> BundleManifest:
    """The tiny bundle with golden answers of the artefact's own."""
    write_array(root / "golden/onnx.npy", answers)
    manifest = open_bundle(root).manifest
    artefact = manifest.artefacts[0].model_copy(update={"golden": record_file(root, "golden/onnx.npy")})
    changed = BundleManifest.model_validate(manifest.model_copy(update={"artefacts": (artefact,)}).model_dump())
    write_manifest(root, changed)
    return changed


def run(batch: np.ndarray) -> np.ndarray:
    return np.stack([probabilities_of(pixels) for pixels in batch])


def test_an_artefact_is_held_to_its_own_golden_answers(tmp_path: Path) -> None:
    root = write_tiny_bundle(tmp_path / "tiny")
    bundle = open_bundle(root)
    pixels = np.stack([np.load(bundle.path(golden.tensor)) for golden in bundle.manifest.golden])
    own = np.clip(run(pixels) + 0.05, 0, 1).astype(np.float32)
    manifest = with_own_golden(root, own)
    with pytest.raises(GoldenMismatch, match="differs by"):
        check_golden(open_bundle(root), manifest.artefacts[0], run)
    shifted = check_golden(open_bundle(root), manifest.artefacts[0], lambda batch: np.clip(run(batch) + 0.05, 0, 1))
    assert shifted < 1e-6
    assert "golden/onnx.npy" in {record.path for record in manifest.files()}


def test_too_few_golden_answers_are_no_golden_answers(tmp_path: Path) -> None:
    root = write_tiny_bundle(tmp_path / "tiny")
    manifest = with_own_golden(root, np.zeros((2, 3), np.float32))
    with pytest.raises(ManifestInvalid, match="for 3 pictures"):
        check_golden(open_bundle(root), manifest.artefacts[0], run)

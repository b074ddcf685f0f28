from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.calibration import TRAINING_SPLIT, balanced, calibration_pictures
from export.errors import NoCalibration
from models.checkpoint import load_checkpoint
from models.data import Pictures, Sample
from models.pull import pull
from models.validated import evaluation_pictures
from tests.pictures import plain


def samples(sizes: list[int]) -> list[Sample]:
    return [Sample(Path(f"{label}-{n}.png"), label) for label, size in enumerate(sizes) for n in range(size)]


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12), count=st.integers(1, 60))
def test_classes_are_balanced_and_no_picture_counts_twice(sizes: list[int], count: int) -> None:
    chosen = balanced(samples(sizes), count)
    assert 0 < len(chosen) <= count
    assert len(set(chosen)) == len(chosen)
    counts = Counter(sample.label for sample in chosen)
    largest = max(counts.values())
    for label, size in enumerate(sizes):
        if len(sizes) <= count:
            # Only a class that has no more pictures may have fewer than its turn.
            assert counts[label] >= min(size, largest - 1)
        else:
            assert counts[label] <= 1


def test_the_training_split_is_used_and_named(run: Path) -> None:
    manifest = load_checkpoint(run).manifest
    found = calibration_pictures(manifest, None)
    record = found.record(evaluation_pictures(manifest, None))
    assert record.source == TRAINING_SPLIT
    assert record.fingerprint == found.pictures.fingerprint
    assert (record.classes, record.shared) == (3, 0)
    assert found.tensors.shape == (record.n, 32, 32, 3)


def test_other_classes_and_flat_folders_calibrate_too(run: Path, tmp_path: Path) -> None:
    manifest = load_checkpoint(run).manifest
    for name in ("cats", "dogs"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        plain("red", 50, 40).save(tmp_path / "pets" / name / "0.png")
    assert calibration_pictures(manifest, tmp_path / "pets").source == "pets"
    flat = calibration_pictures(manifest, tmp_path / "pets" / "cats")
    assert [sample.label for sample in flat.pictures.samples] == [None]


def test_shared_pictures_are_counted(run: Path, colours: Path) -> None:
    manifest = load_checkpoint(run).manifest
    judged = evaluation_pictures(manifest, None)
    record = calibration_pictures(manifest, colours / "val").record(judged)
    assert record.shared == record.n == 15


def test_only_the_pictures_that_were_used_are_recorded(run: Path, colours: Path) -> None:
    manifest = load_checkpoint(run).manifest
    judged = evaluation_pictures(manifest, None)
    found = calibration_pictures(manifest, colours / "val")
    record = found.record(judged, used=2)
    assert (record.n, record.classes, record.shared) == (2, 2, 2)
    assert record.fingerprint == Pictures(found.pictures.samples[:2], "validation").fingerprint


def test_a_pulled_network_needs_pictures(run: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("blue\ngreen\nred\n")
    pull("lenet5", tmp_path / "pulled", weights=str(run / "weights.safetensors"), labels=tmp_path / "labels.txt")
    with pytest.raises(NoCalibration, match="--calibration"):
        calibration_pictures(load_checkpoint(tmp_path / "pulled").manifest, None)

"""The pictures that int8 ranges are measured on: the user's own, class-balanced, never random tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from bundle.errors import ConvoyError
from bundle.evidence import Calibration
from bundle.manifest import CheckpointManifest
from bundle.preprocess import Pixels
from export.errors import NoCalibration
from models.data import Pictures, Sample, open_source, read_training_data
from models.errors import DataChanged
from models.inspection import check
from models.splits import TRAIN, WHOLE

COUNT = 256
"""So many pictures; ranges hardly move beyond, and every rung of the ladder runs over them."""

TRAINING_SPLIT = "training split"


@dataclass(frozen=True)
class CalibrationPictures:
    """Checked pictures, their source in words, and how many classes they cover."""

    pictures: Pictures
    source: str
    manifest: CheckpointManifest

    @cached_property
    def tensors(self) -> Pixels:
        """uint8 [n, H, W, 3], class after class in turn."""
        return np.stack(list(self.pictures.tensors(self.manifest.preprocess)))

    def without(self, others: Pictures) -> CalibrationPictures:
        """Those whose content is not among the others'."""
        known = {sample.sha256 for sample in others.samples}
        left = tuple(sample for sample in self.pictures.samples if sample.sha256 not in known)
        return replace(self, pictures=replace(self.pictures, samples=left))

    def record(self, evaluation: Pictures, used: int = COUNT) -> Calibration:
        """What the manifest keeps of the first `used`; `shared` counts those that the artefact is judged on as well."""
        judged = {sample.sha256 for sample in evaluation.samples}
        pictures = replace(self.pictures, samples=self.pictures.samples[:used])
        samples = pictures.samples
        return Calibration(
            source=self.source,
            n=len(samples),
            classes=len({sample.label for sample in samples} - {None}),
            fingerprint=pictures.fingerprint,
            shared=sum(sample.sha256 in judged for sample in samples),
        )


def calibration_pictures(manifest: CheckpointManifest, folder: Path | None, count: int = COUNT) -> CalibrationPictures:
    """The training split's, or those of `folder` (of classes, whichever they are, or flat).

    Raises: NoCalibration, DataChanged, and the errors of `models.data`.
    """
    if folder is not None:
        samples, source = _given(folder, manifest.labels), folder.absolute().name
    else:
        samples, source = _training_split(manifest), TRAINING_SPLIT
    chosen = balanced(samples, count)
    return CalibrationPictures(check({"calibration": chosen}, skip_bad=False)["calibration"], source, manifest)


def balanced(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Up to `count` samples: one of each class in turn, evenly spaced over the class's order."""
    by_class: dict[int | None, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_class[sample.label].append(sample)
    each = max(1, -(-count // len(by_class)))
    spread = [_spread(members, each) for members in by_class.values()]
    in_turn = [members[turn] for turn in range(each) for members in spread if turn < len(members)]
    return in_turn[:count] if len(by_class) <= count else [in_turn[i] for i in _positions(len(in_turn), count)]


def _spread(members: Sequence[Sample], count: int) -> list[Sample]:
    return [members[position] for position in _positions(len(members), count)]


def _positions(total: int, count: int) -> list[int]:
    """Up to `count` different positions below `total`, evenly spaced."""
    picked = min(total, count)
    return [step * total // picked for step in range(picked)]


def _training_split(manifest: CheckpointManifest) -> Sequence[Sample]:
    recipe = manifest.provenance.recipe
    if recipe is None:
        raise NoCalibration(manifest.name)
    train = read_training_data(
        Path(recipe["data"]),
        validation_share=recipe["validation_share"],
        seed=recipe["seed"],
        skip_bad=recipe["skip_bad"],
        labels=manifest.labels,
    ).train
    if manifest.provenance.data_fingerprint not in (None, train.fingerprint):
        raise DataChanged(recipe["data"])
    return train.samples


def _given(folder: Path, labels: Sequence[str]) -> Sequence[Sample]:
    """The training part, a whole, or whatever part is there. The classes need not be the network's."""
    try:
        source = open_source(folder)
    except ConvoyError:
        source = open_source(folder, labels)
    parts = source.parts
    return parts.get(TRAIN) or parts.get(WHOLE) or next(iter(parts.values()))

"""The pictures that a checkpoint is measured on."""

from __future__ import annotations

from pathlib import Path

from bundle.manifest import CheckpointManifest
from models.data import Pictures, read_evaluation_pictures, read_validation_pictures
from models.errors import DataChanged, NoEvaluationData


def evaluation_pictures(manifest: CheckpointManifest, data: Path | None) -> Pictures:
    """The pictures of `data`, or those that the checkpoint was validated on.

    Raises: NoEvaluationData, DataChanged, and the errors of `models.data`.
    """
    if data is not None:
        return read_evaluation_pictures(data, manifest.labels)
    recipe = manifest.provenance.recipe
    if recipe is None or manifest.metrics is None:
        raise NoEvaluationData(manifest.name)
    pictures = read_validation_pictures(
        Path(recipe["data"]),
        manifest.labels,
        validation_share=recipe["validation_share"],
        seed=recipe["seed"],
        skip_bad=recipe["skip_bad"],
    )
    if pictures.fingerprint != manifest.metrics.dataset_fingerprint:
        raise DataChanged(recipe["data"])
    return pictures

"""A pretrained network as a checkpoint folder, without training."""

from __future__ import annotations

from pathlib import Path

from bundle.errors import LabelsInvalid
from bundle.folder import write_folder
from bundle.manifest import Preprocess, Provenance, label_problem, model_name
from models.checkpoint import Facts, write_checkpoint
from models.errors import DataNotFound, LabelsMismatch, LabelsMissing, RecipeInvalid
from models.provenance import git_revision, tool_versions
from models.registry import find
from models.weights import IMAGENET, NONE, load_network


def read_labels(path: Path) -> tuple[str, ...]:
    """One label per line, line number = index. Raises: DataNotFound, LabelsInvalid."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataNotFound(path, "a text file with one label per line") from error
    labels = tuple(line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1]))
    if problem := label_problem(labels):
        raise LabelsInvalid(path, problem)
    return labels


def pull(
    arch: str,
    out: Path,
    *,
    weights: str = IMAGENET,
    labels: Path | None = None,
    preprocess: Preprocess | None = None,
    overwrite: bool = False,
) -> str:
    """Write a checkpoint folder for `arch` with trained weights; returns its id.

    Raises: UnknownArchitecture, the errors of `models.weights`, LabelsMissing, LabelsMismatch, TargetExists.
    """
    entry, name = find(arch), model_name(out)
    if weights == NONE:
        raise RecipeInvalid("pull needs trained weights: give --weights imagenet or a file")
    given = read_labels(labels) if labels else None
    loaded = load_network(entry, weights)
    names = loaded.labels if given is None else given
    if names is None:
        raise LabelsMissing(loaded.classes)
    if len(names) != loaded.classes:
        raise LabelsMismatch(labels or Path(weights), len(names), loaded.classes)
    facts = Facts(
        name=name,
        labels=names,
        preprocess=preprocess or loaded.preprocess,
        arguments=loaded.arguments,
        provenance=Provenance(
            git_revision=git_revision(),
            weights_source=loaded.source,
            weights_sha256=loaded.sha256,
            tools=tool_versions("torch", "torchvision", "pillow"),
        ),
    )
    with write_folder(out, "checkpoint", overwrite=overwrite) as partial:
        return write_checkpoint(partial, entry, loaded.network, facts)

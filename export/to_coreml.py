"""Core ML for iOS and macOS: an ML program that takes a picture and answers with a label.

It cannot be run on Linux: its description is checked instead, and the manifest calls it unverified.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import coremltools as ct
import torch
from torch import Tensor, nn

from bundle.manifest import Manifest, TensorSpec
from export.deployable import refuse_train_mode
from export.errors import GraphInvalid
from export.job import Job, Written
from export.quiet import quiet

ANSWERS = "classLabel_probs"
"""What coremltools calls the dictionary from label to probability."""


class ImageClassifier(nn.Module):
    """float32 [1, 3, H, W] in 0..1 → float32 [1, K]. Core ML knows one scale for all channels, so std is in here."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, manifest: Manifest) -> None:
        super().__init__()
        self.network = network
        self.temperature = manifest.temperature
        self.register_buffer("mean", torch.tensor(manifest.preprocess.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(manifest.preprocess.std).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return torch.softmax(self.network((image - self.mean) / self.std) / self.temperature, dim=1)


def write(job: Job, path: Path) -> Written:
    """A zipped .mlpackage with half-precision weights. Raises: GraphInvalid."""
    return save(convert(job), job.checkpoint.manifest, path)


def convert(job: Job) -> Any:
    """The coremltools model."""
    manifest = job.checkpoint.manifest
    crop = manifest.preprocess.crop
    module = ImageClassifier(job.checkpoint.network, manifest).eval()
    refuse_train_mode("coreml", module)
    with quiet(), redirect_stderr(StringIO()):  # progress bars
        program = torch.export.export(module, (torch.zeros(1, 3, crop, crop),)).run_decompositions({})
        image = ct.ImageType(name="image", shape=(1, 3, crop, crop), scale=1 / 255, color_layout=ct.colorlayout.RGB)
        model = ct.convert(
            program,
            inputs=[image],
            classifier_config=ct.ClassifierConfig(unique(manifest.labels)),
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS16,
            skip_model_load=True,
        )
    model.short_description = f"{manifest.name}: {len(manifest.labels)} classes"
    model.user_defined_metadata["convoy.preprocess"] = manifest.preprocess.model_dump_json()
    return model


def save(model: Any, manifest: Manifest, path: Path) -> Written:
    """Check the description, write the package and zip it: an artefact is one file. Raises: GraphInvalid."""
    check(model.get_spec(), manifest)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        package = Path(scratch) / "model.mlpackage"
        with quiet():
            model.save(str(package))
        # A debugging aid with the exporting machine's node names.
        (package / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(package.rglob("*")):
                archive.write(file, file.relative_to(scratch))
        shutil.rmtree(package)
    return Written(path, inputs=(_image(manifest),), outputs=(_answers(manifest),))


def unique(labels: Sequence[str]) -> list[str]:
    """The labels; equal ones (ImageNet has two cranes) get their index, since the answer is a dictionary."""
    counts = Counter(labels)
    return [label if counts[label] == 1 else f"{label} ({index})" for index, label in enumerate(labels)]


def check(spec: Any, manifest: Manifest) -> None:
    """Input, size, colours and the labels' order, as Core ML will read them. Raises: GraphInvalid."""
    image = spec.description.input[0]
    crop = manifest.preprocess.crop
    found = (image.name, image.type.imageType.width, image.type.imageType.height, image.type.imageType.colorSpace)
    expected = ("image", crop, crop, type(image.type.imageType).ColorSpace.Value("RGB"))
    if found != expected:
        raise GraphInvalid("coreml", f"the input is {found} instead of {expected}")
    if spec.description.predictedProbabilitiesName != ANSWERS:
        raise GraphInvalid("coreml", f"no probabilities {ANSWERS!r}")
    if labels_of(spec) != unique(manifest.labels):
        raise GraphInvalid("coreml", "the labels are not the manifest's")


def labels_of(spec: Any) -> list[str]:
    """In the order of the network's outputs."""
    block = spec.mlProgram.functions["main"].block_specializations
    (operations,) = (one.operations for one in block.values())
    classify = next(one for one in operations if one.type == "classify")
    (argument,) = classify.inputs["classes"].arguments
    values = argument.value.immediateValue.list.values
    return [text for value in values for text in value.immediateValue.tensor.strings.values]


def _image(manifest: Manifest) -> TensorSpec:
    crop = manifest.preprocess.crop
    return TensorSpec(name="image", dtype="uint8", shape=(1, crop, crop, 3), layout="RGB image", range=(0, 255))


def _answers(manifest: Manifest) -> TensorSpec:
    shape = (1, len(manifest.labels))
    return TensorSpec(name=ANSWERS, dtype="float32", shape=shape, layout="dictionary by label", range=(0, 1))

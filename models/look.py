"""Look inside a network while it looks at a picture: first filters, feature maps, class activation map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from bundle.image import decode
from bundle.manifest import Preprocess
from bundle.preprocess import preprocess
from bundle.scores import Prediction, top_k
from models.checkpoint import load_checkpoint
from models.describe import describe_entry, stages
from models.errors import DataNotFound, LabelsMismatch, NotMaps, UnknownLabel, UnknownLayer
from models.inference import Normalise, probabilities_of
from models.pull import read_labels
from models.registry import Entry, find
from models.weights import load_network

MAX_MAPS = 32
"""Of one layer on its sheet: those that vary most over the picture."""


@dataclass(frozen=True)
class Subject:
    """A network to look into, with everything it needs to answer."""

    name: str
    entry: Entry
    network: nn.Module
    preprocess: Preprocess
    labels: tuple[str, ...]
    temperature: float = 1.0


@dataclass(frozen=True)
class Maps:
    """What a layer answered. values: float32 [shown, H, W], the strongest first. indices: which maps they are.

    channels: how many the layer has.
    """

    layer: str
    values: NDArray[np.float32]
    indices: tuple[int, ...]
    channels: int


@dataclass(frozen=True)
class Look:
    """picture: what the network saw, after preprocessing. target: the class that `heat` is about.

    heat: float32 [h, w] in 0..1, the class activation map after `cam_layer`. filters: float32 [O, I, K, K] of
    `filter_layer`, the first convolution.
    """

    subject: Subject
    picture: Image.Image
    answers: tuple[Prediction, ...]
    target: int
    filter_layer: str
    filters: NDArray[np.float32]
    maps: tuple[Maps, ...]
    cam_layer: str
    heat: NDArray[np.float32]


def subject_of(source: str, weights: str, labels: Path | None = None) -> Subject:
    """A checkpoint folder, or an architecture with `weights` (`imagenet`, `none` or a file).

    Raises: FolderError, UnknownArchitecture, the errors of `models.weights`, DataNotFound, LabelsMismatch.
    """
    if Path(source).is_dir():
        checkpoint = load_checkpoint(Path(source))
        manifest = checkpoint.manifest
        entry = find(manifest.architecture.name)
        return Subject(
            manifest.name, entry, checkpoint.network, manifest.preprocess, manifest.labels, manifest.temperature
        )
    entry = find(source)
    loaded = load_network(entry, weights)
    names = read_labels(labels) if labels else loaded.labels
    if labels and names and len(names) != loaded.classes:
        raise LabelsMismatch(labels, len(names), loaded.classes)
    names = names or tuple(f"class {index}" for index in range(loaded.classes))
    return Subject(entry.name.replace("/", "-"), entry, loaded.network.eval(), loaded.preprocess, names)


def look(subject: Subject, image: Path, *, layers: Sequence[str] = (), label: str | None = None) -> Look:
    """Run the picture through the network and keep what happens after `layers` (default: the last of every size).

    label: the class to explain; default: the most probable one.
    Raises: ImageError, DataNotFound, UnknownLayer, NotMaps, UnknownLabel.
    """
    pixels = _pixels(image, subject.preprocess)
    inputs = Normalise(subject.preprocess)(torch.from_numpy(pixels)[None])
    chosen = tuple(layers) or default_layers(subject)
    with torch.no_grad(), watching(subject, chosen) as seen:
        logits = subject.network(inputs)
    probabilities = probabilities_of(logits, subject.temperature)[0]
    answers = top_k(probabilities, subject.labels, min(5, len(subject.labels)))
    target = answers[0].index if label is None else _index(subject, label)
    filter_layer, filters = first_filters(subject.network)
    return Look(
        subject=subject,
        picture=Image.fromarray(pixels),
        answers=tuple(answers),
        target=target,
        filter_layer=filter_layer,
        filters=filters,
        maps=tuple(_strongest(layer, seen[layer]) for layer in chosen),
        cam_layer=subject.entry.cam,
        heat=grad_cam(subject.network, subject.entry.cam, inputs, target),
    )


def grad_cam(network: nn.Module, layer: str, inputs: Tensor, target: int) -> NDArray[np.float32]:
    """Where the layer's maps speak for the class `target`: float32 [h, w] in 0..1, all 0 where nothing does.

    inputs: float32 [1, 3, H, W].
    """
    heat = raw_grad_cam(network, layer, inputs, target)
    return heat / max(float(heat.max()), 1e-12)


def raw_grad_cam(network: nn.Module, layer: str, inputs: Tensor, target: int) -> NDArray[np.float32]:
    """`grad_cam` before it is divided by its largest value, 0 and more.

    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017: the
    maps weighed with the mean gradient of the class's logit, negative sums cut off. inputs: float32 [1, 3, H, W].
    """
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor) -> Tensor:
        kept.append(output)
        # What comes next may work in place (DenseNet's last ReLU does).
        return output.clone()

    handle = network.get_submodule(layer).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            # A frozen network gives gradients too when its input wants them.
            logits = network(inputs.clone().requires_grad_(True))
            (gradient,) = torch.autograd.grad(logits[0, target], kept[0])
    finally:
        handle.remove()
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    heat: NDArray[np.float32] = torch.relu((weights * kept[0]).sum(dim=1))[0].detach().numpy()
    return heat


def first_filters(network: nn.Module) -> tuple[str, NDArray[np.float32]]:
    """Name and weights, float32 [O, I, K, K], of the first convolution in the network's own order."""
    name, module = next((name, item) for name, item in network.named_modules() if isinstance(item, nn.Conv2d))
    weights: NDArray[np.float32] = module.weight.detach().numpy()
    return name, weights


def default_layers(subject: Subject) -> tuple[str, ...]:
    """The last block of every map size, from the picture down."""
    modules = {name for name, _ in subject.network.named_modules()}
    by_size: dict[int, str] = {}
    for stage in stages(describe_entry(subject.entry, pixels=subject.preprocess.crop)):
        if len(stage.output) == 3 and stage.output[1] > 1 and stage.kind != "pool" and stage.name in modules:
            by_size[stage.output[1]] = stage.name
    return tuple(by_size.values())


@contextmanager
def watching(subject: Subject, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """What each layer answers, [C, H, W], while the block lasts. Raises: UnknownLayer, NotMaps."""
    modules = dict(subject.network.named_modules())
    for layer in layers:
        if layer not in modules or not layer:
            raise UnknownLayer(subject.entry.name, layer, list(modules))
    seen: dict[str, Tensor] = {}
    handles = [modules[layer].register_forward_hook(_keeper(layer, seen)) for layer in layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
    for layer in layers:
        if layer not in seen:
            raise NotMaps(layer, ())


def _keeper(layer: str, seen: dict[str, Tensor]) -> object:
    def keep(_: nn.Module, __: object, output: object) -> None:
        shape = output.shape[1:] if isinstance(output, Tensor) else ()
        if not isinstance(output, Tensor) or len(shape) != 3:
            raise NotMaps(layer, shape)
        seen[layer] = output[0].clone()

    return keep


def _strongest(layer: str, maps: Tensor) -> Maps:
    order = maps.flatten(1).std(dim=1, correction=0).argsort(descending=True, stable=True)[:MAX_MAPS]
    return Maps(layer, maps[order].numpy(), tuple(order.tolist()), maps.shape[0])


def _pixels(image: Path, spec: Preprocess) -> NDArray[np.uint8]:
    try:
        return preprocess(decode(image), spec)
    except OSError as error:
        raise DataNotFound(image, "an image file") from error


def _index(subject: Subject, label: str) -> int:
    if label in subject.labels:
        return subject.labels.index(label)
    if label.isdecimal() and int(label) < len(subject.labels):
        return int(label)
    raise UnknownLabel(Path(subject.name), label, subject.labels)

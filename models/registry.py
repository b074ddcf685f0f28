"""The zoo's register: one entry per architecture, filled by the family modules."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn
from torchvision import models as torchvision_models

from bundle.manifest import Preprocess, Scalar
from models.errors import UnknownArchitecture
from models.published import Published, published_weights

FAMILIES = (
    "lenet",
    "alexnet",
    "vgg",
    "googlenet",
    "inception",
    "resnet",
    "densenet",
    "mobilenet",
    "efficientnet",
    "torchvision_zoo",
)
"""The modules of `models` that register architectures."""

OPEN_FAMILIES = {"efficientnet": "models.efficientnet", "timm": "models.timm_zoo"}
"""Names with a slash, `efficientnet/2.5` or `timm/NAME`: the module whose `open_entry` answers for the rest."""

IMAGENET = Preprocess(
    resize=256, crop=224, interpolation="bilinear", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
"""torchvision's evaluation transform of the V1 weights."""


@dataclass(frozen=True)
class Fetched:
    """Trained weights from somewhere else than torchvision, with what they say of themselves."""

    state: Mapping[str, Tensor]
    labels: tuple[str, ...] | None
    preprocess: Preprocess
    source: str


@dataclass(frozen=True)
class Entry:
    """What the zoo knows of an architecture.

    build: makes the network, [N, 3, crop, crop] normalised float32 → logits [N, num_classes].
    head: dotted path of the last layer, which transfer learning replaces: linear, or a 1x1 convolution.
    auxiliary: dotted paths of the heads that only training uses.
    backbone: the top-level modules that turn a picture into features.
    cam: dotted path of the layer whose maps a class activation map weighs: the last one that is not 1x1.
    preprocess: that of its first weights, of files without a manifest and of fresh networks.
    classes, parameters: of the published network; a test holds the built one to them.
    torchvision: whether `--weights imagenet` exists under the same name there.
    arguments: of `build` for a fresh network. pretrained: what the published weights want instead.
    weights: the published sets. fetch: where trained weights come from when not from torchvision.
    """

    name: str
    title: str
    year: int
    paper: str
    build: Callable[..., nn.Module]
    head: str
    parameters: int
    classes: int = 1000
    preprocess: Preprocess = IMAGENET
    torchvision: bool = True
    arguments: dict[str, Scalar] = field(default_factory=dict)
    pretrained: dict[str, Scalar] = field(default_factory=dict)
    family: str = ""
    auxiliary: tuple[str, ...] = ()
    backbone: tuple[str, ...] = ()
    cam: str = ""
    weights: tuple[Published, ...] = ()
    fetch: Callable[[], Fetched] | None = None

    @property
    def default_weights(self) -> Published | None:
        """What `--weights imagenet` takes of torchvision's."""
        return next((weights for weights in self.weights if weights.default), None)

    @property
    def published_arguments(self) -> dict[str, Scalar]:
        """`build`'s arguments for the network that the published weights and `parameters` are of."""
        return {**self.arguments, **self.pretrained}


_entries: dict[str, Entry] = {}


def register(entry: Entry) -> Entry:
    """Add an entry. Raises: ValueError when the name is taken."""
    if entry.name in _entries:
        raise ValueError(f"architecture {entry.name!r} is registered twice")
    _entries[entry.name] = entry
    return entry


def register_torchvision(
    name: str,
    title: str,
    *,
    year: int,
    paper: str,
    family: str,
    head: str,
    backbone: tuple[str, ...],
    cam: str,
    build: Callable[..., nn.Module] | None = None,
    auxiliary: tuple[str, ...] = (),
    arguments: dict[str, Scalar] | None = None,
    pretrained: dict[str, Scalar] | None = None,
) -> Entry:
    """Register an architecture of torchvision; its figures come from the weights published there."""
    weights = published_weights(name)
    entry = Entry(
        name=name,
        title=title,
        year=year,
        paper=paper,
        build=build or getattr(torchvision_models, name),
        head=head,
        parameters=weights[0].parameters,
        preprocess=weights[0].preprocess,
        arguments=arguments or {},
        pretrained=pretrained or {},
        family=family,
        auxiliary=auxiliary,
        backbone=backbone,
        cam=cam,
        weights=weights,
    )
    return register(entry)


def entries() -> dict[str, Entry]:
    """Every architecture by name."""
    for family in FAMILIES:
        importlib.import_module(f"models.{family}")
    return dict(sorted(_entries.items()))


def find(name: str) -> Entry:
    """The entry called `name`. Raises: UnknownArchitecture, with the near names; ExtraMissing for timm/NAME."""
    known = entries()
    if name in known:
        return known[name]
    prefix, slash, rest = name.partition("/")
    if slash and prefix in OPEN_FAMILIES:
        entry: Entry = importlib.import_module(OPEN_FAMILIES[prefix]).open_entry(rest)
        return entry
    raise UnknownArchitecture(name, known)


def build(name: str, num_classes: int, **arguments: Scalar) -> nn.Module:
    """A network with fresh weights for `num_classes`. Raises: UnknownArchitecture."""
    entry = find(name)
    return entry.build(num_classes=num_classes, **{**entry.arguments, **arguments})

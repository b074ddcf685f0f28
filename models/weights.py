"""Weights: torchvision's own download, none, or a file. Nothing is unpickled without `weights_only`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models as torchvision_models

from bundle.folder import sha256_of
from bundle.manifest import Preprocess, Scalar
from models.errors import WeightsMismatch, WeightsUnavailable, WeightsUnreadable
from models.published import preprocess_of
from models.registry import Entry
from models.transfer import replace_head

NONE, IMAGENET = "none", "imagenet"

StateDict = Mapping[str, Tensor]


@dataclass(frozen=True)
class LoadedNetwork:
    """A network with what its weights say of themselves. `labels` is None when they say nothing.

    arguments: what `build` got besides `num_classes`; a checkpoint must keep them.
    """

    network: nn.Module
    classes: int
    preprocess: Preprocess
    labels: tuple[str, ...] | None
    source: str
    sha256: str | None = None
    arguments: dict[str, Scalar] = field(default_factory=dict)


def load_network(entry: Entry, weights: str) -> LoadedNetwork:
    """Build `entry` with `weights`: `imagenet`, `none`, or a path.

    Raises: WeightsUnavailable, WeightsUnreadable, WeightsMismatch.
    """
    if weights == NONE:
        network = entry.build(num_classes=entry.classes, **entry.arguments)
        return LoadedNetwork(network, entry.classes, entry.preprocess, None, NONE, arguments=entry.arguments)
    if weights == IMAGENET:
        return _imagenet(entry)
    path = Path(weights)
    state = read_state_dict(path)
    classes = _classes(state, entry, path)
    network, arguments = _with_state(entry, state, classes, path)
    return LoadedNetwork(network, classes, entry.preprocess, None, path.name, sha256_of(path), arguments)


def with_classes(loaded: LoadedNetwork, entry: Entry, classes: int, *, keep_head: bool) -> nn.Module:
    """The network with a head for `classes`; a trained head is kept if wanted and the number is its own."""
    if keep_head and loaded.source != NONE and loaded.classes == classes:
        return loaded.network
    replace_head(loaded.network, entry.head, classes, entry.auxiliary)
    return loaded.network


def _with_state(entry: Entry, state: StateDict, classes: int, source: object) -> tuple[nn.Module, dict[str, Scalar]]:
    """The network that these published weights belong in, loaded, and the arguments it was built with.

    A file says nothing of `transform_input`: it is read as published weights are, like its preprocessing.
    """
    arguments = entry.published_arguments
    heads = tuple(path.partition(".")[0] + "." for path in entry.auxiliary)
    if heads and not any(key.startswith(heads) for key in state):
        arguments["aux_logits"] = False
    if heads and not arguments["aux_logits"]:
        state = {key: value for key, value in state.items() if not key.startswith(heads)}
    network = entry.build(num_classes=classes, **arguments)
    load_strictly(network, state, source, entry.name)
    return network, arguments


def _imagenet(entry: Entry) -> LoadedNetwork:
    if entry.fetch:
        fetched = entry.fetch()
        network, arguments = _with_state(entry, fetched.state, entry.classes, fetched.source)
        return LoadedNetwork(
            network, entry.classes, fetched.preprocess, fetched.labels, fetched.source, arguments=arguments
        )
    if not entry.torchvision:
        raise WeightsUnavailable(entry.name, "torchvision has none for it")
    record = torchvision_models.get_model_weights(entry.name).DEFAULT
    try:
        state = record.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise WeightsUnavailable(entry.name, f"the download failed ({error})") from error
    labels = tuple(record.meta["categories"])
    network, arguments = _with_state(entry, state, len(labels), record.name)
    preprocess = preprocess_of(record.transforms())
    return LoadedNetwork(network, len(labels), preprocess, labels, f"torchvision {record}", arguments=arguments)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a torch file, read with `weights_only`.

    A `state_dict` or `model` key around them and DataParallel's `module.` prefix are taken off.
    Raises: WeightsUnreadable.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError) as error:
        raise WeightsUnreadable(path, " ".join(str(error).split())[:160]) from error
    except Exception as error:  # torch.load raises anything, from UnpicklingError to UnicodeDecodeError
        raise WeightsUnreadable(path, f"{type(error).__name__} from torch.load with weights_only") from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsUnreadable(path, "no mapping of names to tensors")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def load_strictly(network: nn.Module, state: StateDict, source: object, architecture: str) -> None:
    """Load every tensor. Raises: WeightsMismatch, which says which keys differ."""
    own = network.state_dict()
    # PyTorch before 0.4.1 and converters leave the batch counters out; evaluation never reads them.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} is {list(state[key].shape)} instead of {list(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    differences = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if keys
    ]
    if differences:
        raise WeightsMismatch(source, architecture, differences)
    complete = OrderedDict(state)
    # Safetensors has no place for the modules' versions, and MNASNet refuses to load without.
    complete._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]
    network.load_state_dict(complete, strict=False)


def _classes(state: StateDict, entry: Entry, path: Path) -> int:
    """How many classes the file's own head has."""
    weight = state.get(f"{entry.head}.weight")
    if weight is None or weight.ndim not in (2, 4):
        # Let the strict load name the differences.
        _with_state(entry, state, entry.classes, path)
        raise WeightsMismatch(path, entry.name, [f"no {entry.head}.weight"])
    return int(weight.shape[0])

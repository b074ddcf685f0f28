"""The network as it is shipped: pixels in, calibrated probabilities out."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from bundle.manifest import Manifest
from export.class_map import class_map
from export.errors import GraphInvalid
from export.tape import recording
from models.inference import Normalise


class Deployable(nn.Module):
    """uint8 [N, H, W, 3] RGB → float32 [N, K]; mean, std, temperature and softmax travel inside the graph."""

    def __init__(self, network: nn.Module, manifest: Manifest) -> None:
        super().__init__()
        self.normalise = Normalise(manifest.preprocess)
        self.network = network
        self.temperature = manifest.temperature

    def forward(self, image: Tensor) -> Tensor:
        return torch.softmax(self.network(self.normalise(image)) / self.temperature, dim=1)


class Explained(Deployable):
    """The same, and the Grad-CAM of the most probable class at `layer`, float32 [N, h, w]: see `export.class_map`."""

    def __init__(self, network: nn.Module, manifest: Manifest, layer: str) -> None:
        super().__init__(network, manifest)
        self.layer = layer

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        with recording(self.network, self.layer) as tape:
            logits = self.network(self.normalise(image))
        return torch.softmax(logits / self.temperature, dim=1), class_map(tape, logits)


class HalfDeployable(nn.Module):
    """The same in half precision and channels-last inside, for GPUs; uint8 in and float32 out as before.

    Normalisation, temperature and softmax stay in float32: they cost nothing, and 1/255 is no half.
    """

    def __init__(self, network: nn.Module, manifest: Manifest) -> None:
        super().__init__()
        self.normalise = Normalise(manifest.preprocess)
        self.network = copy.deepcopy(network).half().to(memory_format=torch.channels_last)
        self.temperature = manifest.temperature

    def forward(self, image: Tensor) -> Tensor:
        pixels = self.normalise(image).half().contiguous(memory_format=torch.channels_last)
        return torch.softmax(self.network(pixels).float() / self.temperature, dim=1)


def refuse_train_mode(target: str, module: nn.Module) -> None:
    """Raise GraphInvalid when a part of the module trains: its answers would depend on the batch and on chance."""
    for name, part in module.named_modules():
        if name and part.training:
            raise GraphInvalid(target, f"{name} is in train mode")

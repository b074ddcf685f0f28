"""The network as it is shipped: pixels in, calibrated probabilities out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bundle.manifest import Manifest
from export.errors import GraphInvalid
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


def refuse_train_mode(target: str, module: nn.Module) -> None:
    """Raise GraphInvalid when a part of the module trains: its answers would depend on the batch and on chance."""
    for name, part in module.named_modules():
        if name and part.training:
            raise GraphInvalid(target, f"{name} is in train mode")

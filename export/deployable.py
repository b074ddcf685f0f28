"""The network as it is shipped: pixels in, calibrated probabilities out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bundle.manifest import Manifest
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

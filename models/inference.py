"""The PyTorch model's answers: the reference that every exported file is judged against."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bundle.cores import available_cores
from bundle.manifest import Preprocess


class Normalise(nn.Module):
    """uint8 [N, H, W, 3] → normalised float32 [N, 3, H, W]."""

    mean: Tensor
    std: Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocess.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return (image.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std


SMALL_CROP = 64
"""Below this many pixels a picture's work is done before a second thread has woken up."""


def use_threads(crop: int) -> None:
    """Give torch the container's cores (it would take the host's), or one thread for small pictures.

    LeNet-5's layers take microseconds; two threads that wait for each other made its training three times
    slower on a busy machine of two cores, and no faster on a quiet one.
    """
    torch.set_num_threads(1 if crop < SMALL_CROP else available_cores())


@torch.inference_mode()
def logits_of(network: nn.Module, preprocess: Preprocess, batches: Iterator[NDArray[np.uint8]]) -> Tensor:
    """float32 [n, K] of all batches of uint8 [N, H, W, 3], in eval mode; the mode is restored afterwards."""
    training = network.training
    normalise = Normalise(preprocess)
    network.eval()
    try:
        return torch.cat([network(normalise(torch.from_numpy(np.array(batch)))) for batch in batches])
    finally:
        network.train(training)


def probabilities_of(logits: Tensor, temperature: float) -> NDArray[np.float32]:
    """Calibrated softmax: float32 [n, K]."""
    result: NDArray[np.float32] = torch.softmax(logits / temperature, dim=1).numpy()
    return result

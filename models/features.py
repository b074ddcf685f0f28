"""What a frozen backbone makes of the pictures: computed once, kept in a file, since every epoch would find the same.

The file is mapped into memory: a million pictures take disk, not memory.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import nn

from bundle.manifest import Preprocess
from models.data import Pictures
from models.inference import Normalise
from models.transfer import Head, head_of, headless

BATCH = 32


def features_of(
    network: nn.Module, head: str, spec: Preprocess, pictures: Pictures, path: Path, device: torch.device | str = "cpu"
) -> NDArray[np.float32]:
    """float32 [n, F], what the layer at `head` gets to see in eval mode; read from `path` if it is there already.

    device: where they are computed; the network is on the CPU before and after.
    """
    if not path.exists():
        _compute(network, head, spec, pictures, path, torch.device(device))
    features: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    return features


@torch.inference_mode()
def _compute(
    network: nn.Module, head: str, spec: Preprocess, pictures: Pictures, path: Path, device: torch.device
) -> None:
    partial, training, normalise = path.with_suffix(".partial"), network.training, Normalise(spec).to(device)
    width = _width(head_of(network, head))
    network.eval().to(device)
    try:
        with headless(network, head) as backbone:
            array = open_memmap(partial, mode="w+", dtype=np.float32, shape=(len(pictures.samples), width))
            start = 0
            for batch in pictures.batches(spec, BATCH):
                found = backbone(normalise(torch.from_numpy(np.array(batch)).to(device)))
                array[start : start + len(found)] = found.cpu().numpy()
                start += len(found)
            array.flush()
    finally:
        network.to("cpu").train(training)
    partial.replace(path)


def _width(head: Head) -> int:
    if isinstance(head, nn.Linear):
        return head.in_features
    raise TypeError("a convolution's features are maps: they are not kept")

"""The loss of networks that answer more than once in training: GoogLeNet's two auxiliary heads, Inception v3's one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torchvision.models import GoogLeNetOutputs, InceptionOutputs

GOOGLENET_WEIGHT = 0.3
"""Szegedy et al. 2014, section 5: "their loss gets added to the total loss ... with a discount weight" of 0.3."""

INCEPTION_WEIGHT = 0.4
"""Of the authors' TensorFlow code; the paper of v3 gives none."""

Outputs = Any
"""A Tensor, GoogLeNetOutputs or InceptionOutputs; torchvision makes the last two without types."""


def main_logits(outputs: Outputs) -> Tensor:
    """float32 [N, K] of the head that is kept."""
    logits: Tensor = outputs if isinstance(outputs, Tensor) else outputs.logits
    return logits


def total_loss(loss: Callable[[Tensor, Tensor], Tensor], outputs: Outputs, labels: Tensor) -> Tensor:
    """`loss` of the main head plus the discounted losses of the auxiliary heads that answered."""
    total = loss(main_logits(outputs), labels)
    if isinstance(outputs, GoogLeNetOutputs):
        for auxiliary in (outputs.aux_logits1, outputs.aux_logits2):
            total = total + GOOGLENET_WEIGHT * loss(auxiliary, labels)
    elif isinstance(outputs, InceptionOutputs):
        total = total + INCEPTION_WEIGHT * loss(outputs.aux_logits, labels)
    return total

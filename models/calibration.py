"""Temperature scaling: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", 2017."""

from __future__ import annotations

import torch
from torch import Tensor

LOWEST, HIGHEST = 0.05, 20.0
"""A perfect validation set would drive the temperature to zero; these bounds keep probabilities usable."""


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature that minimises the cross entropy of logits [n, K] against int64 labels [n].

    One bounded number on a convex-in-log problem: golden-section search needs no gradient and cannot diverge.
    """

    def loss(log_temperature: float) -> float:
        scaled = logits.double() / torch.tensor(log_temperature).exp()
        return float(torch.nn.functional.cross_entropy(scaled, labels))

    low, high = float(torch.tensor(LOWEST).log()), float(torch.tensor(HIGHEST).log())
    ratio = (5**0.5 - 1) / 2
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(torch.tensor((low + high) / 2).exp())

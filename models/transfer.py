"""A trained network on other classes: its head replaced, its backbone frozen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


def head_of(network: nn.Module, path: str) -> nn.Linear:
    """The linear layer at the dotted `path`. Raises: TypeError when it is something else."""
    head = network.get_submodule(path)
    if not isinstance(head, nn.Linear):
        raise TypeError(f"{path} is a {type(head).__name__}, expected a Linear layer")
    return head


def replace_head(network: nn.Module, path: str, num_classes: int) -> nn.Linear:
    """Put a fresh linear layer for `num_classes` in the place of the old one and return it."""
    old = head_of(network, path)
    new = nn.Linear(old.in_features, num_classes, bias=old.bias is not None)
    network.set_submodule(path, new)
    return new


def freeze_backbone(network: nn.Module, path: str) -> None:
    """Only the head keeps learning. Put the rest into eval mode too: see `set_frozen_eval`."""
    network.requires_grad_(False)
    head_of(network, path).requires_grad_(True)


def set_frozen_eval(network: nn.Module, path: str) -> None:
    """Batch norm of a frozen backbone must not learn statistics either, nor its dropout drop."""
    network.eval()
    head_of(network, path).train()


@contextmanager
def headless(network: nn.Module, path: str) -> Iterator[nn.Module]:
    """The network without its head: [N, 3, H, W] → features [N, in_features], while the block lasts."""
    head = head_of(network, path)
    network.set_submodule(path, nn.Identity())
    try:
        yield network
    finally:
        network.set_submodule(path, head)

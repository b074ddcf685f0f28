"""A trained network on other classes: its head replaced.

A head is a linear layer, or the 1x1 convolution of networks that average their class maps (SqueezeNet).
Auxiliary heads (GoogLeNet, Inception) follow the head's number of classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

Head = nn.Linear | nn.Conv2d


def head_of(network: nn.Module, path: str) -> Head:
    """The layer at the dotted `path`. Raises: TypeError when it is neither linear nor a 1x1 convolution."""
    head = network.get_submodule(path)
    if isinstance(head, nn.Linear) or (isinstance(head, nn.Conv2d) and head.kernel_size == (1, 1)):
        return head
    raise TypeError(f"{path} is a {type(head).__name__}, expected a Linear layer or a 1x1 convolution")


def classes_of(head: Head) -> int:
    """How many classes the head tells apart."""
    return head.out_features if isinstance(head, nn.Linear) else head.out_channels


def takes_features(head: Head) -> bool:
    """Whether the head ends the network: [N, in_features] → logits. A convolution still has its maps averaged."""
    return isinstance(head, nn.Linear)


def replace_head(network: nn.Module, path: str, num_classes: int, auxiliary: Sequence[str] = ()) -> Head:
    """Put a fresh layer for `num_classes` in the place of the old one and return it; auxiliary heads follow."""
    for other in present(network, auxiliary):
        network.set_submodule(other, _fresh(head_of(network, other), num_classes))
    new = _fresh(head_of(network, path), num_classes)
    network.set_submodule(path, new)
    return new


def present(network: nn.Module, auxiliary: Sequence[str]) -> list[str]:
    """The auxiliary heads that this network was built with; torchvision leaves None in the place of the others."""
    return [path for path in auxiliary if getattr(network, path.partition(".")[0], None) is not None]


@contextmanager
def headless(network: nn.Module, path: str) -> Iterator[nn.Module]:
    """The network without its head: [N, 3, H, W] → features [N, in_features], while the block lasts."""
    head = head_of(network, path)
    network.set_submodule(path, nn.Identity())
    try:
        yield network
    finally:
        network.set_submodule(path, head)


def _fresh(old: Head, num_classes: int) -> Head:
    bias = old.bias is not None
    if isinstance(old, nn.Linear):
        return nn.Linear(old.in_features, num_classes, bias=bias)
    new = nn.Conv2d(old.in_channels, num_classes, kernel_size=1, bias=bias)
    # A ReLU follows it: from torch's default half the classes would start dead. As in torchvision's SqueezeNet.
    nn.init.normal_(new.weight, mean=0.0, std=0.01)
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    return new

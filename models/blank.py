"""Networks without numbers: every shape, no memory. Counting and describing need no weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from bundle.manifest import Scalar
from models.registry import Entry


@contextmanager
def without_numbers() -> Iterator[None]:
    """Modules built inside have their parameters and buffers on the meta device.

    Unlike under `torch.device("meta")`, a network may still compute with tensors what it will look like.
    """

    def parameter(module: nn.Module, name: str, value: nn.Parameter | None) -> nn.Parameter | None:  # noqa: ARG001
        return None if value is None else nn.Parameter(value.to("meta"), requires_grad=value.requires_grad)

    def buffer(module: nn.Module, name: str, value: Tensor | None) -> Tensor | None:  # noqa: ARG001
        return None if value is None else value.to("meta")

    handles = (
        register_module_parameter_registration_hook(parameter),  # type: ignore[arg-type]
        register_module_buffer_registration_hook(buffer),  # type: ignore[arg-type]
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def build_blank(entry: Entry, num_classes: int | None = None, **arguments: Scalar) -> nn.Module:
    """The entry's network on the meta device, in eval mode; `arguments` come before the entry's own."""
    with without_numbers():
        network = entry.build(num_classes=num_classes or entry.classes, **{**entry.arguments, **arguments})
    return network.eval()


def count_parameters(network: nn.Module) -> int:
    """Every parameter once, trained or frozen."""
    return sum(parameter.numel() for parameter in network.parameters())

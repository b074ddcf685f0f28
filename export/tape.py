"""What a network does behind one of its layers, written down while it does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Step:
    """One call: its name, what went in first, everything that it was given, and what came out."""

    name: str
    before: Tensor
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    after: Tensor

    def argument(self, position: int, name: str, otherwise: Any = None) -> Any:
        """An argument that may have been given by place or by name."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, otherwise)


class Tape(TorchFunctionMode):
    """Follows one tensor from call to call. `steps` is all of the way only if `last` is what the network answers.

    Works in the same way on numbers and while torch.export traces. In-place calls are made out of place: a step
    keeps what went into it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features: Tensor | None = None
        self.last: Tensor | None = None
        self.steps: list[Step] = []

    def begin(self, features: Tensor) -> Tensor:
        """Follow a copy of the features, which is to go on in their place: what comes next may work in place."""
        self.features, self.last, self.steps = features, features.clone(), []
        return self.last

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        mine = bool(args) and args[0] is self.last and self.last is not None
        if mine and given.get("inplace"):
            given["inplace"] = False
        result = func(*args, **given)
        if mine and isinstance(result, Tensor):
            self.steps.append(Step(func.__name__, args[0], args, given, result))
            self.last = result
        return result


@contextmanager
def recording(network: nn.Module, layer: str) -> Iterator[Tape]:
    """A tape of every call behind `layer`, for as long as the block lasts."""
    tape = Tape()

    def begin(_: nn.Module, __: object, output: object) -> object:
        return tape.begin(output) if isinstance(output, Tensor) else output

    handle = network.get_submodule(layer).register_forward_hook(begin)
    try:
        with tape:
            yield tape
    finally:
        handle.remove()

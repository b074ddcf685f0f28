"""Follow a picture's shape through a network: every layer that runs, in order, with what it costs and sees.

Works below the modules, on torch's own operations, so that functions between modules (the pooling inside Inception's
blocks, additions, concatenations) are seen as well. On the meta device: shapes only, nothing is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from models.layers import Kind, Layer, Window
from models.reach import Pair, Reach, joined

_KINDS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("conv", ("convolution",)),
    ("pool", ("pool2d", "mean")),
    ("linear", ("addmm", "mm", "bmm")),
    ("norm", ("norm",)),
    ("join", ("add", "mul", "cat")),
    ("activation", ("relu", "hardtanh", "hardswish", "hardsigmoid", "sigmoid", "silu", "gelu", "tanh", "softmax")),
)


@dataclass
class _Call:
    """A module at work: what its operations have cost so far."""

    name: str
    module: nn.Module
    leaf: bool
    kind: Kind = "other"
    window: Window | None = None
    groups: int = 1
    macs: int = 0


@dataclass(frozen=True)
class Traced:
    """Every layer in the order of its calls, and the reach of the answer."""

    layers: tuple[Layer, ...]
    reach: Reach


def trace(network: nn.Module, picture: Tensor) -> Traced:
    """Run `network` on `picture` [N, 3, H, W], both on the meta device, and write down what happens."""
    recorder = _Recorder(network, picture)
    with torch.no_grad(), recorder.listening(), recorder:
        answer = network(picture)
    main = answer if isinstance(answer, Tensor) else answer[0]
    return Traced(tuple(recorder.layers), recorder.reach_of(main))


@dataclass
class _Memory:
    """Tensors by identity; holding them keeps an identity from being given twice."""

    reaches: dict[int, Reach] = field(default_factory=dict)
    held: list[Tensor] = field(default_factory=list)

    def keep(self, tensor: Tensor, reach: Reach) -> None:
        self.reaches[id(tensor)] = reach
        self.held.append(tensor)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation; module hooks tell it whose they are."""

    def __init__(self, network: nn.Module, picture: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.network = network
        self.layers: list[Layer] = []
        self._stack: list[_Call] = []
        self._counted: set[int] = set()
        self._names: dict[str, int] = {}
        self._memory = _Memory()
        self._memory.keep(picture, Reach())

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hooks on every module, while the block lasts."""
        handles = []
        for name, module in self.network.named_modules():
            leaf = next(module.children(), None) is None
            handles.append(module.register_forward_pre_hook(self._entering(name, leaf=leaf)))
            handles.append(module.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def reach_of(self, tensor: Tensor) -> Reach:
        return self._memory.reaches[id(tensor)]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        outputs = [item for item in (result if isinstance(result, (tuple, list)) else (result,)) if _is_tensor(item)]
        known = [reach for item in _tensors(args) if (reach := self._memory.reaches.get(id(item)))]
        if not known or not outputs:
            return result
        name = func.__name__.partition(".")[0].lstrip("_").rstrip("_")
        step = _step(name, args, outputs[0])
        for output in outputs:
            self._memory.keep(output, step.reach(joined(known)))
        call = self._stack[-1] if self._stack else _Call("", self.network, leaf=False)
        if call.leaf:
            # Inside a module a product is its own business (dropout's mask), no joining of branches.
            _absorb(call, _Step("other") if step.kind == "join" else step)
        else:
            self._function(call, name, step, args, outputs[0])
        return result

    def _entering(self, name: str, *, leaf: bool) -> Any:
        def enter(module: nn.Module, _: Any) -> None:
            self._stack.append(_Call(name, module, leaf=leaf))

        return enter

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        call = self._stack.pop()
        if not call.leaf or not _is_tensor(output):
            return
        self._emit(call, type(module).__name__, _tensors(inputs)[0], output, self._uncounted(module.parameters()))

    def _function(self, parent: _Call, name: str, step: _Step, args: Any, output: Tensor) -> None:
        """A layer of its own for what happens between modules, unless it only moves numbers."""
        parameters = self._uncounted(item for item in _tensors(args) if isinstance(item, nn.Parameter))
        if step.kind == "other" and not parameters:
            return
        prefix = f"{parent.name}." if parent.name else ""
        call = _Call(prefix + name, parent.module, leaf=True)
        _absorb(call, step)
        source = next(item for item in _tensors(args) if id(item) in self._memory.reaches)
        self._emit(call, name, source, output, parameters)

    def _uncounted(self, parameters: Any) -> int:
        """How many values of these parameters belong to no layer yet."""
        fresh = [item for item in parameters if id(item) not in self._counted]
        self._counted.update(id(item) for item in fresh)
        return sum(item.numel() for item in fresh)

    def _emit(self, call: _Call, type_name: str, source: Tensor, output: Tensor, parameters: int) -> None:
        times = self._names[call.name] = self._names.get(call.name, 0) + 1
        reach = self.reach_of(output)
        self.layers.append(
            Layer(
                name=call.name if times == 1 else f"{call.name} ({times})",
                kind=call.kind,
                type=type_name,
                window=call.window,
                groups=call.groups,
                input=tuple(source.shape[1:]),
                output=tuple(output.shape[1:]),
                field=None if reach.whole else reach.field,
                parameters=parameters,
                macs=call.macs // output.shape[0],
            )
        )


@dataclass(frozen=True)
class _Step:
    """One operation of torch. `flattens`: from here on a value sees the whole picture."""

    kind: Kind
    window: Window | None = None
    groups: int = 1
    macs: int = 0
    flattens: bool = False

    def reach(self, before: Reach) -> Reach:
        if self.flattens:
            before = before.everything()
        elif self.window:
            before = before.window(self.window.kernel, self.window.stride, self.window.dilation)
        return before.weighted() if self.kind in ("conv", "linear") else before


def _step(name: str, args: Any, output: Tensor) -> _Step:
    kind: Kind = next((kind for kind, parts in _KINDS if any(_matches(name, part) for part in parts)), "other")
    if kind == "conv":
        return _convolution(args, output)
    if kind == "pool":
        return _pooling(name, args, output)
    if kind == "linear":
        left = args[1] if name == "addmm" else args[0]
        return _Step(kind, macs=output.numel() * left.shape[-1])
    # Flattening maps of more than one pixel: the dense layer behind it sees all of them.
    source = args[0] if args and _is_tensor(args[0]) else None
    flattens = source is not None and source.ndim == 4 and output.ndim == 2 and math.prod(source.shape[2:]) > 1
    # A linear layer on [N, H, W, C] is taken row by row: the batch grows then, and nothing is flattened.
    return _Step(kind, flattens=flattens and source is not None and output.shape[0] == source.shape[0])


def _matches(name: str, part: str) -> bool:
    return name == part or (part in ("pool2d", "norm", "convolution", "softmax") and part in name)


def _convolution(args: Any, output: Tensor) -> _Step:
    _, weight, _, stride, padding, dilation = args[:6]
    window = Window(_pair(weight.shape[2:]), _pair(stride), _pair(padding), _pair(dilation))
    # Every output value costs one multiply-accumulate per weight of its own filter.
    return _Step("conv", window, groups=args[8], macs=output.numel() * math.prod(weight.shape[1:]))


def _pooling(name: str, args: Any, output: Tensor) -> _Step:
    source = args[0]
    if name == "mean":
        places = {axis % source.ndim for axis in args[1]} == {2, 3} and source.ndim == 4
        return _Step("pool", flattens=True) if places else _Step("other")
    size, to = _pair(source.shape[2:]), _pair(output.shape[2:])
    if name.startswith("adaptive"):
        if to == (1, 1):
            return _Step("pool", flattens=True)
        stride = (size[0] // to[0], size[1] // to[1])
        kernel = (size[0] - (to[0] - 1) * stride[0], size[1] - (to[1] - 1) * stride[1])
        return _Step("pool", Window(kernel, stride, (0, 0)))
    kernel = _pair(args[1])
    stride = _pair(args[2]) if len(args) > 2 and args[2] else kernel
    padding = _pair(args[3]) if len(args) > 3 else (0, 0)
    dilated = name.startswith("max")
    dilation = _pair(args[4]) if dilated and len(args) > 4 else (1, 1)
    ceil = args[5 if dilated else 4] if len(args) > (5 if dilated else 4) else False
    return _Step("pool", Window(kernel, stride, padding, dilation, ceil))


def _absorb(call: _Call, step: _Step) -> None:
    """Add an operation to the layer it belongs to; the heaviest kind names the layer."""
    call.macs += step.macs
    if call.kind == "other" or step.window:
        call.kind = step.kind
    if step.window:
        call.window, call.groups = step.window, step.groups


def _pair(values: Any) -> Pair:
    sizes = [int(value) for value in values]
    return (sizes[0], sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])


def _is_tensor(item: Any) -> bool:
    return isinstance(item, Tensor)


def _tensors(args: Any) -> list[Tensor]:
    """The tensors among the arguments, also those in a list (concatenation)."""
    found: list[Tensor] = []
    for item in args:
        if isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, (list, tuple)):
            found.extend(_tensors(item))
    return found

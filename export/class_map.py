"""Grad-CAM of the winning class as forward operators, so that a graph without gradients can answer it.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017: a layer's
maps weighed with the mean gradient of the class's logit over the map, negative sums cut off. Behind the layer there
is a short head; its steps are on a tape, and each kind of step knows how the gradient passes it. Behind a global
pool and a linear layer that leaves the winning class's row of weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.tape import Step, Tape, recording

MAX_WEIGHTS = 2_000_000
"""That the gradient is multiplied with, of which onnxruntime keeps a second copy in another order: MobileNetV3 has 1.2
million, AlexNet and VGG 54 and 119, which would be hundreds of megabytes for whoever never asks."""


def has_class_map(network: nn.Module, layer: str, example: Tensor) -> bool:
    """Whether every step behind `layer` is of a known kind and the map costs little; example: float32 [N, 3, H, W]."""
    if not layer:
        return False
    with torch.no_grad(), recording(network, layer) as tape:
        logits = network(example)
    if tape.features is None or tape.features.ndim != 4 or tape.last is not logits or not tape.steps:
        return False
    head = _Head.of(tape.steps)
    if head is None or any(_backward_of(step) is None for step in head.before):
        return False
    weights: int = sum(step.args[1].numel() for step in head.before if step.name in _WEIGHTED)
    return weights <= MAX_WEIGHTS


def class_map(tape: Tape, logits: Tensor) -> Tensor:
    """float32 [N, h, w], 0 or more, of the class with the largest logit; the tape is one of `has_class_map`."""
    features, head = tape.features, _Head.of(tape.steps)
    assert features is not None
    assert head is not None
    index = logits.argmax(dim=1)
    gradient = _through([_of_class(step, index) for step in head.after], torch.ones_like(index[:, None]).float())
    row = head.last.args[1].index_select(0, index)
    gradient = _through(head.before, row * gradient)
    # However a pool hands its gradient out, it hands out all of it, and only the sum over the map counts.
    total = gradient.flatten(2).sum(dim=2) if gradient.ndim == 4 else gradient
    weights = total / (features.shape[2] * features.shape[3])
    return torch.relu((weights[:, :, None, None] * features).sum(dim=1))


@dataclass(frozen=True)
class _Head:
    """The last step with weights, the steps between the pools and it, and those after it, which keep classes apart."""

    before: Sequence[Step]
    last: Step
    after: Sequence[Step]

    @classmethod
    def of(cls, steps: Sequence[Step]) -> _Head | None:
        """None where the last step with weights is no linear layer and no 1x1 convolution, or none of the kind."""
        place = max((place for place, step in enumerate(steps) if step.name in _WEIGHTED), default=None)
        if place is None:
            return None
        last, after = steps[place], steps[place + 1 :]
        if last.name == "conv2d" and (tuple(last.args[1].shape[2:]) != (1, 1) or not _plain_convolution(last)):
            return None
        if any(_backward_of(step) is None or step.name in ("permute", "layer_norm") for step in after):
            return None
        return cls(steps[len(_pools(steps[:place])) : place], last, after)


_WEIGHTED = ("linear", "conv2d")


def _of_class(step: Step, index: Tensor) -> Step:
    """The step with one class's values only, int64 [N], in the place of all classes'."""

    def pick(values: Tensor) -> Tensor:
        places = index.reshape(-1, *[1] * (values.ndim - 1))
        return values.gather(1, places.expand(-1, 1, *values.shape[2:]))

    return replace(step, before=pick(step.before), after=pick(step.after))


def _through(steps: Sequence[Step], gradient: Tensor) -> Tensor:
    """Back from the last step to the first."""
    for step in reversed(steps):
        backward = _backward_of(step)
        assert backward is not None
        gradient = backward(step, gradient)
    return gradient


Backward = Callable[[Step, Tensor], Tensor]
"""(step, gradient of what came out) → gradient of what went in."""


def _pools(steps: Sequence[Step]) -> list[Step]:
    """Those right behind the layer."""
    return list(takewhile(_hands_all_out, steps))


def _hands_all_out(step: Step) -> bool:
    """Whether the gradients of what goes in sum up, over the map, to those of what comes out."""
    if step.name == "avg_pool2d":
        return _plain_average(step)
    if step.name == "mean":
        return _is_global(step)
    return step.name in ("max_pool2d", "adaptive_avg_pool2d", "dropout", "clone", "contiguous")


def _backward_of(step: Step) -> Backward | None:
    if step.name in ("adaptive_avg_pool2d", "mean"):
        return _spread if _is_global(step) else None
    if step.name == "avg_pool2d":
        return _unpool if _plain_average(step) else None
    if step.name == "conv2d":
        return _convolution if _plain_convolution(step) else None
    return _KINDS.get(step.name)


def _is_global(step: Step) -> bool:
    if step.before.ndim != 4:
        return False
    if step.name == "mean":
        dims = step.argument(1, "dim", ())
        return sorted(dim % 4 for dim in (dims if isinstance(dims, (tuple, list)) else (dims,))) == [2, 3]
    return tuple(step.after.shape[2:]) == (1, 1)


def _plain_average(step: Step) -> bool:
    padding, ceil = step.argument(3, "padding", 0), step.argument(4, "ceil_mode", False)
    return set(_pair(padding)) == {0} and not ceil and step.argument(6, "divisor_override") is None


def _plain_convolution(step: Step) -> bool:
    stride, padding = step.argument(3, "stride", 1), step.argument(4, "padding", 0)
    return not isinstance(padding, str) and set(_pair(stride)) == {1} and step.argument(6, "groups", 1) == 1


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _same(_: Step, gradient: Tensor) -> Tensor:
    return gradient


def _linear(step: Step, gradient: Tensor) -> Tensor:
    weight: Tensor = step.args[1]
    return gradient @ weight


def _convolution(step: Step, gradient: Tensor) -> Tensor:
    padding, dilation = step.argument(4, "padding", 0), step.argument(5, "dilation", 1)
    return functional.conv_transpose2d(gradient, step.args[1], padding=padding, dilation=dilation)


def _reshape(step: Step, gradient: Tensor) -> Tensor:
    return gradient.reshape(-1, *step.before.shape[1:])


def _permute(step: Step, gradient: Tensor) -> Tensor:
    dims = step.args[1] if isinstance(step.args[1], (tuple, list)) else step.args[1:]
    order = [dim % len(dims) for dim in dims]
    return gradient.permute([order.index(dim) for dim in range(len(order))])


def _layer_norm(step: Step, gradient: Tensor) -> Tensor:
    dims = [-1 - place for place in range(len(step.argument(1, "normalized_shape")))]
    weight, eps = step.argument(2, "weight"), step.argument(4, "eps", 1e-5)
    centred = step.before - step.before.mean(dims, keepdim=True)
    scale = torch.rsqrt((centred * centred).mean(dims, keepdim=True) + eps)
    normal, weighed = centred * scale, gradient if weight is None else gradient * weight
    along = (weighed * normal).mean(dims, keepdim=True)
    return scale * (weighed - weighed.mean(dims, keepdim=True) - normal * along)


def _spread(step: Step, gradient: Tensor) -> Tensor:
    channels, height, width = step.before.shape[1:]
    return gradient.reshape(-1, channels, 1, 1) * torch.full((1, 1, height, width), 1 / (height * width))


def _unpool(step: Step, gradient: Tensor) -> Tensor:
    channels, height, width = step.before.shape[1:]
    kernel = _pair(step.argument(1, "kernel_size"))
    stride = _pair(step.argument(2, "stride") or kernel)
    share = torch.full((channels, 1, *kernel), 1 / (kernel[0] * kernel[1]))
    found = functional.conv_transpose2d(gradient, share, stride=stride, groups=channels)
    return functional.pad(found, (0, width - found.shape[3], 0, height - found.shape[2]))


def _relu(step: Step, gradient: Tensor) -> Tensor:
    return gradient * (step.after > 0).float()


def _hardtanh(step: Step, gradient: Tensor) -> Tensor:
    low, high = (0, 6) if step.name == "relu6" else (step.argument(1, "min_val", -1), step.argument(2, "max_val", 1))
    return gradient * ((step.before > low) & (step.before < high)).float()


def _hardswish(step: Step, gradient: Tensor) -> Tensor:
    inside = step.before / 3 + 0.5
    return gradient * torch.where(step.before <= -3, 0.0, torch.where(step.before < 3, inside, 1.0))


def _silu(step: Step, gradient: Tensor) -> Tensor:
    sigmoid = torch.sigmoid(step.before)
    return gradient * sigmoid * (1 + step.before * (1 - sigmoid))


def _tanh(step: Step, gradient: Tensor) -> Tensor:
    return gradient * (1 - step.after * step.after)


_KINDS: dict[str, Backward] = {
    **dict.fromkeys(("dropout", "clone", "contiguous"), _same),
    **dict.fromkeys(("flatten", "reshape", "view"), _reshape),
    "linear": _linear,
    "permute": _permute,
    "layer_norm": _layer_norm,
    "relu": _relu,
    "relu6": _hardtanh,
    "hardtanh": _hardtanh,
    "hardswish": _hardswish,
    "silu": _silu,
    "tanh": _tanh,
}

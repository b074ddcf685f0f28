"""What one layer of a network is, as `convoy describe` shows it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from models.reach import Pair

Kind = Literal["conv", "pool", "linear", "norm", "activation", "join", "other"]


@dataclass(frozen=True)
class Window:
    """What slides over the maps. `ceil`: a last window that is only partly inside counts too."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair = (1, 1)
    ceil: bool = False

    def output(self, size: Pair) -> Pair:
        """⌊(W - F + 2P) / S⌋ + 1 for height and width, F = dilation · (kernel - 1) + 1; ⌈ ⌉ with `ceil`."""
        height, width = (
            self._steps(size[axis] - (self.dilation[axis] * (self.kernel[axis] - 1) + 1) + 2 * self.padding[axis], axis)
            for axis in (0, 1)
        )
        return height, width

    def _steps(self, room: int, axis: int) -> int:
        return (-(-room // self.stride[axis]) if self.ceil else room // self.stride[axis]) + 1


@dataclass(frozen=True)
class Layer:
    """One call of a module, or of a function between modules.

    input, output: shapes without the batch. field: height and width in pixels of the picture that one value sees,
    None when it sees all of it. macs: multiply-accumulates for one picture. groups: of a convolution.
    auxiliary: runs in training only.
    """

    name: str
    kind: Kind
    type: str
    window: Window | None
    groups: int
    input: tuple[int, ...]
    output: tuple[int, ...]
    field: Pair | None
    parameters: int
    macs: int
    auxiliary: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        fields = asdict(self)
        window = fields.pop("window") or dict.fromkeys(("kernel", "stride", "padding", "dilation", "ceil"))
        return {**fields, **window}

"""How far a feature reaches: the part of the picture it sees, and the layers between them.

Receptive field arithmetic as in Araujo, Norris, Sim, "Computing Receptive Fields of Convolutional Neural Networks",
2019. Fields are the theoretical ones; border pixels count like all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

Pair = tuple[int, int]


@dataclass(frozen=True)
class Reach:
    """Of one tensor.

    field: height and width in pixels of what one value sees. jump: pixels between neighbouring values.
    whole: the value sees all of the picture (after global pooling or a dense layer).
    shortest, longest: convolutions and linear layers between picture and tensor. paths: ways from there to here.
    """

    field: Pair = (1, 1)
    jump: Pair = (1, 1)
    whole: bool = False
    shortest: int = 0
    longest: int = 0
    paths: int = 1

    def window(self, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Reach:
        """After a sliding window: field grows by dilation · (kernel - 1) · jump, jump by the stride."""
        field = _each(lambda f, k, d, j: f + d * (k - 1) * j, self.field, kernel, dilation, self.jump)
        return replace(self, field=field, jump=_each(lambda j, s: j * s, self.jump, stride))

    def weighted(self) -> Reach:
        """After a layer that learns."""
        return replace(self, shortest=self.shortest + 1, longest=self.longest + 1)

    def everything(self) -> Reach:
        """After a layer that sees all of its input."""
        return replace(self, whole=True)


def joined(reaches: Sequence[Reach]) -> Reach:
    """Of a sum, product or concatenation.

    A factor that sees the whole picture (the gate of squeeze-and-excitation) only scales: it is left out.
    """
    parts = [reach for reach in reaches if not reach.whole] or list(reaches)
    longest = max(part.longest for part in parts)
    return Reach(
        field=_each(lambda *sizes: max(sizes), *(part.field for part in parts)),
        jump=_each(lambda *sizes: max(sizes), *(part.jump for part in parts)),
        whole=all(part.whole for part in parts),
        shortest=min(part.shortest for part in parts),
        longest=longest,
        # Before the first layer there is one way only: the picture's own channels are no branches.
        paths=sum(part.paths for part in parts) if longest else 1,
    )


def _each(rule: object, *pairs: Pair) -> Pair:
    """The rule for heights, then for widths."""
    heights, widths = zip(*pairs, strict=True)
    return rule(*heights), rule(*widths)  # type: ignore[operator]

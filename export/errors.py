"""What keeps a bundle from being published."""

from __future__ import annotations

from collections.abc import Iterable

from bundle.errors import ConvoyError, near


class UnknownTarget(ConvoyError):
    def __init__(self, target: str, known: Iterable[str]) -> None:
        known = sorted(known)
        super().__init__(f"unknown target {target!r}{near(target, known)}: choose from {', '.join(known)}")


class GraphTooLarge(ConvoyError):
    def __init__(self, target: str, found: int, limit: int) -> None:
        super().__init__(
            f"{target}: the network's weights take {found / 1e9:.2f} GB, one file holds {limit / 1e9:.2f} GB "
            "(protobuf's limit): choose a smaller architecture"
        )


class GateFailed(ConvoyError):
    """The input was fine, the result is not good enough: the exit code tells it from a mistake of the user's."""

    exit_code = 1


class ParityFailed(GateFailed):
    def __init__(self, target: str, reason: str) -> None:
        super().__init__(f"{target}: not the same classifier as the checkpoint: {reason}: nothing was published")


class AccuracyFailed(GateFailed):
    def __init__(self, target: str, found: float, reference: float, share: float) -> None:
        super().__init__(
            f"{target}: top-1 is {found:.4f}, the checkpoint has {reference:.4f} on the same pictures: "
            f"below {share:.0%} of it"
        )


class GraphInvalid(GateFailed):
    def __init__(self, target: str, reason: str) -> None:
        super().__init__(f"{target}: the exporter wrote something else than was asked for: {reason}")

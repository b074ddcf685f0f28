"""What can go wrong with a load test. The command prints the message on one line and ends with `exit_code`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any


class Stopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM while a phase ran. `finished`: what it had given until then."""

    def __init__(self, finished: Any) -> None:
        super().__init__()
        self.finished = finished


class LoadTestError(Exception):
    """Anything that the user can put right."""

    exit_code = 2


class ObjectiveInvalid(LoadTestError):
    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"--slo {text!r}: {reason}: expected something like p95=100ms,errors=0.1%")


class OptionInvalid(LoadTestError):
    def __init__(self, option: str, value: object, expected: str) -> None:
        super().__init__(f"{option} {value}: {expected}")


class AddressInvalid(LoadTestError):
    def __init__(self, url: str) -> None:
        super().__init__(f"{url}: an address like http://127.0.0.1:3000 was expected")


class NoPictures(LoadTestError):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class ListInvalid(LoadTestError):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class LinesInvalid(LoadTestError):
    """The file of expected answers; the error says which line."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"--expected: {error}")


class NotTheService(LoadTestError):
    """Nobody answers, or somebody else does."""

    exit_code = 1

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: no answer from a Convoy service there ({reason})")


class ModelUnknown(LoadTestError):
    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"--model {name}: the service has {', '.join(known)}")


class GeneratorLost(LoadTestError):
    """A process of the generator ended, or never came."""

    exit_code = 1

    def __init__(self, reason: str) -> None:
        super().__init__(f"the load generator is not complete: {reason}")


class ProcessUnknown(LoadTestError):
    def __init__(self, pid: int, reason: str) -> None:
        super().__init__(f"--pid {pid}: {reason}")

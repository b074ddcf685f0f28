"""Ways of quantizing, tried in order until one passes every gate; each leaves its figures behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import ArtefactInvalid, ConvoyError
from bundle.evidence import FineTuning, Quantization, Rung
from bundle.manifest import Artefact
from export import stopwatch
from export.calibration import COUNT
from export.errors import GateFailed, NotQuantizable, RungSkipped, WorkerDied, WriterFailed, without_folders
from export.fine_tuning import Tuned
from export.job import Job, Written
from export.parity import agreement_of
from export.proof import describe, measure
from export.runners import open_artefact, run_all
from export.targets import TARGETS, Target

KEEP_AS_INT8 = ("resnet18", "mobilenet_v2")
"""Architectures whose int8 files passed with real weights; what a refusal recommends. See docs/performance.md."""


@dataclass(frozen=True)
class Operators:
    """What the runtime will execute: operators on integers, operators on floats, the delegate's share of all."""

    integers: int
    floats: int
    delegated_share: float | None = None


@dataclass(frozen=True)
class Attempt:
    """One rung. make: writes the file and counts its operators. pictures: so many calibration pictures it reads.

    fine_tuning: of the weights, where they are not the checkpoint's.
    """

    name: str
    make: Callable[[Path], Operators]
    pictures: int = COUNT
    fine_tuning: FineTuning | None = None


FINE_TUNED = "fine-tuned for int8"


def after_tuning(job: Job, largest_weight: int, attempts: Callable[[Tuned], Iterable[Attempt]]) -> Iterator[Attempt]:
    """The attempts with fine-tuned weights, or the one rung that tells why there are none."""
    try:
        tuned = job.tuned(largest_weight)
    except RungSkipped as error:
        yield Attempt(FINE_TUNED, partial(_skip, error))
    else:
        yield from attempts(tuned)


def _skip(error: RungSkipped, _: Path) -> Operators:
    raise error


@dataclass
class Ladder:
    """Judges attempts at an int8 target beside the fp32 file of the same runtime.

    elsewhere: where more might pass than on this machine; a refusal says it.
    """

    job: Job
    target: Target
    fp32: str
    elsewhere: str = ""

    def climb(self, attempts: Iterable[Attempt], path: Path) -> Written:
        """Leave the first file that passes at `path`. Raises: NotQuantizable with every rung."""
        rungs: list[Rung] = []
        for attempt in attempts:
            rung, operators = self._try(attempt, path)
            rungs.append(rung)
            if operators is not None and rung.passed and rung.speed_up is not None:
                return Written(path, self._record(rungs, path, operators, attempt, rung.speed_up))
            path.unlink(missing_ok=True)
        raise self._refusal(rungs)

    def convert(self, source: Quantization, path: Path, operators: Operators) -> Quantization:
        """The record of a file that was made from one that passed, measured again. Raises: NotQuantizable."""
        ratio = self.speed_up(path)
        if problem := self.not_int8(path, operators, ratio):
            size = path.stat().st_size
            raise self._refusal([Rung(name=source.method, passed=False, reason=problem, bytes=size, speed_up=ratio)])
        return source.model_copy(update=self._figures(path, operators, ratio))

    def _refusal(self, rungs: list[Rung]) -> NotQuantizable:
        architecture = self.job.checkpoint.manifest.architecture.name
        better = [name for name in KEEP_AS_INT8 if name != architecture]
        return NotQuantizable(self.target.name, architecture, rungs, better, self.elsewhere)

    def _figures(self, path: Path, operators: Operators, speed_up: float) -> dict[str, Any]:
        """What is measured of the file itself."""
        return {
            "integer_operators": operators.integers,
            "float_operators": operators.floats,
            "delegated_share": operators.delegated_share,
            "size_ratio": round(self.size_ratio(path), 4),
            "speed_up": speed_up,
        }

    def _try(self, attempt: Attempt, path: Path) -> tuple[Rung, Operators | None]:
        """What fails on one rung need not fail on the next; a full disk or memory does."""
        try:
            operators = attempt.make(path)
            return self._judge(attempt.name, path, operators), operators
        except ArtefactInvalid as error:
            reason = f"its own runtime refuses the file: {error}"
        except (WorkerDied, RungSkipped) as error:
            reason = str(error)
        except (OSError, ImportError, MemoryError, ConvoyError):
            raise
        except Exception as error:  # quantizers fail in their own ways, on architectures nobody has foreseen
            reason = str(WriterFailed(self.target.name, error))
        return Rung(name=attempt.name, passed=False, reason=without_folders(reason)), None

    def _judge(self, name: str, path: Path, operators: Operators) -> Rung:
        found = run_all(open_artefact(path.parent, self._describe(self.target, path)), self.job.evaluation.batches())
        labels, ratio = self.job.evaluation.labels, self.speed_up(path)
        try:
            measure(self.job, self.target, found)
            problem = self.not_int8(path, operators, ratio)
        except GateFailed as error:
            problem = error.reason
        return Rung(
            name=name,
            passed=problem is None,
            reason=problem or "passed",
            top1=None if labels is None else float((found.argmax(1) == labels).mean()),
            agreement=agreement_of(found, self.job.evaluation.reference),
            bytes=path.stat().st_size,
            speed_up=ratio,
        )

    def not_int8(self, path: Path, operators: Operators, ratio: float) -> str | None:
        """A file that is called int8 computes in integers, and is faster or at least half as large."""
        if operators.integers == 0:
            return "no operator computes in integers"
        if ratio < 1 and self.size_ratio(path) > 0.5:
            return f"slower than fp32 ({ratio:.2f}x) and not smaller by half ({self.size_ratio(path):.2f} of the size)"
        return None

    def _record(
        self, rungs: list[Rung], path: Path, operators: Operators, attempt: Attempt, speed_up: float
    ) -> Quantization:
        return Quantization(
            method=rungs[-1].name,
            calibration=self.job.calibration.record(self.job.evaluation.pictures, attempt.pictures),
            fine_tuning=attempt.fine_tuning,
            rungs=tuple(rungs),
            **self._figures(path, operators, speed_up),
        )

    def size_ratio(self, path: Path) -> float:
        return path.stat().st_size / self.job.written(self.fp32).path.stat().st_size

    def speed_up(self, path: Path) -> float:
        """Over fp32 in the same runtime: one picture, one thread; three digits behind the point."""
        picture = self.job.folder / "picture.npy"
        np.save(picture, self.job.evaluation.tensors[0])
        source = self.job.written(self.fp32)
        fast = (path.parent, self._describe(self.target, path))
        slow = (source.path.parent, describe(TARGETS[self.fp32], self.job.checkpoint.manifest, source))
        return round(stopwatch.speed_up(fast, slow, picture), 3)

    def _describe(self, target: Target, path: Path) -> Artefact:
        return describe(target, self.job.checkpoint.manifest, Written(path))

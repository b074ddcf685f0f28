"""Ways of quantizing, tried in order until one passes every gate; each leaves its figures behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bundle.errors import ArtefactInvalid, ConvoyError
from bundle.evidence import Quantization, Rung
from bundle.manifest import Artefact
from export import stopwatch
from export.accuracy import accuracy_of
from export.calibration import COUNT
from export.errors import NotQuantizable, WorkerDied, WriterFailed, without_folders
from export.job import Job, Written
from export.proof import describe
from export.runners import Probabilities, open_artefact, run_all
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
    """One rung. make: writes the file and counts its operators. pictures: so many calibration pictures it reads."""

    name: str
    make: Callable[[Path], Operators]
    pictures: int = COUNT


@dataclass
class Ladder:
    """Judges attempts at an int8 target beside the fp32 file of the same runtime."""

    job: Job
    target: Target
    fp32: str

    def climb(self, attempts: Iterable[Attempt], path: Path) -> Written:
        """Leave the first file that passes at `path`. Raises: NotQuantizable with every rung."""
        rungs: list[Rung] = []
        for attempt in attempts:
            rung, operators = self._try(attempt, path)
            rungs.append(rung)
            if operators is not None and rung.passed:
                return Written(path, self._record(rungs, path, operators, attempt.pictures))
            path.unlink(missing_ok=True)
        better = [name for name in KEEP_AS_INT8 if name != self.job.checkpoint.manifest.architecture.name]
        raise NotQuantizable(self.target.name, self.job.checkpoint.manifest.architecture.name, rungs, better)

    def _try(self, attempt: Attempt, path: Path) -> tuple[Rung, Operators | None]:
        """What fails on one rung need not fail on the next; a full disk or memory does."""
        try:
            operators = attempt.make(path)
            return self._judge(attempt.name, path, operators), operators
        except ArtefactInvalid as error:
            reason = f"its own runtime refuses the file: {error}"
        except WorkerDied as error:
            reason = str(error)
        except (OSError, ImportError, MemoryError, ConvoyError):
            raise
        except Exception as error:  # quantizers fail in their own ways, on architectures nobody has foreseen
            reason = str(WriterFailed(self.target.name, error))
        return Rung(name=attempt.name, passed=False, reason=without_folders(reason)), None

    def _judge(self, name: str, path: Path, operators: Operators) -> Rung:
        found = run_all(open_artefact(path.parent, self._describe(self.target, path)), self.job.evaluation.batches())
        reference = self.job.evaluation.reference
        agreement = float((found.argmax(1) == reference.argmax(1)).mean())
        ratio = self.speed_up(path)
        top1, problem = self._accuracy(found, reference, agreement)
        problem = problem or self._not_int8(path, operators, ratio)
        return Rung(
            name=name,
            passed=problem is None,
            reason=problem or "passed",
            top1=top1,
            agreement=agreement,
            bytes=path.stat().st_size,
            speed_up=round(ratio, 3),
        )

    def _accuracy(
        self, found: Probabilities, reference: Probabilities, agreement: float
    ) -> tuple[float | None, str | None]:
        """The top-1 (None without labels) and what is wrong with the answers, if anything."""
        top1, problem = None, None
        if (labels := self.job.evaluation.labels) is not None:
            accuracy = accuracy_of(found, reference, labels, self.job.gate)
            top1 = accuracy.top1
            if not accuracy.passed:
                problem = f"top-1 {top1:.4f} of fp32's {accuracy.reference_top1:.4f}"
                if self.job.gate.allows(top1, accuracy.reference_top1):
                    problem += ", and one class lost too many"
        if not np.isfinite(found).all():
            problem = "answers are not finite"
        if problem is None and agreement < self.target.min_top1_agreement:
            problem = f"top-1 agrees on {agreement:.1%} (at least {self.target.min_top1_agreement:.0%})"
        return top1, problem

    def _not_int8(self, path: Path, operators: Operators, ratio: float) -> str | None:
        """A file that is called int8 computes in integers, and is faster or at least half as large."""
        if operators.integers == 0:
            return "no operator computes in integers"
        if ratio < 1 and self.size_ratio(path) > 0.5:
            return f"slower than fp32 ({ratio:.2f}x) and not smaller by half ({self.size_ratio(path):.2f} of the size)"
        return None

    def _record(self, rungs: list[Rung], path: Path, operators: Operators, pictures: int) -> Quantization:
        return Quantization(
            method=rungs[-1].name,
            calibration=self.job.calibration.record(self.job.evaluation.pictures, pictures),
            rungs=tuple(rungs),
            integer_operators=operators.integers,
            float_operators=operators.floats,
            delegated_share=operators.delegated_share,
            size_ratio=round(self.size_ratio(path), 4),
            speed_up=rungs[-1].speed_up or 1.0,
        )

    def size_ratio(self, path: Path) -> float:
        return path.stat().st_size / self.job.written(self.fp32).path.stat().st_size

    def speed_up(self, path: Path) -> float:
        """Over fp32 in the same runtime: one picture, one thread."""
        picture = self.job.folder / "picture.npy"
        np.save(picture, self.job.evaluation.tensors[0])
        source = self.job.written(self.fp32)
        fast = (path.parent, self._describe(self.target, path))
        slow = (source.path.parent, describe(TARGETS[self.fp32], self.job.checkpoint.manifest, source))
        return stopwatch.speed_up(fast, slow, picture)

    def _describe(self, target: Target, path: Path) -> Artefact:
        return describe(target, self.job.checkpoint.manifest, Written(path))

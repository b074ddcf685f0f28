"""What keeps an artefact, or a whole bundle, from being published."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bundle.errors import ConvoyError, near
from bundle.evidence import Refusal, Rung

_FOLDERS = re.compile(r"(?<![\w.])(?:/[^\s/'\"]+)+/")


def without_folders(text: str) -> str:
    """The text with bare file names in the place of absolute paths: reasons go into bundles, bundles to strangers."""
    return _FOLDERS.sub("", text)


def last_line(log: str) -> str:
    """Where Python says what happened."""
    return (log.strip().splitlines() or ["no message"])[-1]


class UnknownTarget(ConvoyError):
    def __init__(self, target: str, known: Iterable[str]) -> None:
        known = list(dict.fromkeys(known))
        super().__init__(f"unknown target {target!r}{near(target, known)}: choose from {', '.join(known)}")


class TargetTaken(ConvoyError):
    def __init__(self, target: str) -> None:
        super().__init__(f"target {target!r}: its name or its file is registered already")


class TargetNeedsExtra(ConvoyError):
    def __init__(self, target: str, module: str, extra: str) -> None:
        super().__init__(f"target {target} needs {module}: pip install -e '.[{extra}]'")


class EnvironmentMissing(ConvoyError):
    """What a target needs cannot be installed beside the rest."""

    def __init__(self, target: str, setting: str, given: str | None) -> None:
        found = f"{setting} is {given!r}, which is no program" if given else "which is not there"
        super().__init__(f"target {target} needs an environment of its own, {found}: make litert-env")


class CompilerMissing(ConvoyError):
    def __init__(self, target: str) -> None:
        super().__init__(f"target {target} needs a C++ compiler: install g++, or name another with CXX")


class GateFailed(ConvoyError):
    """The input was fine, the result is not good enough: the exit code tells it from a mistake of the user's.

    `rungs`: what was tried before giving up.
    """

    exit_code = 1
    rungs: tuple[Rung, ...] = ()

    @property
    def reason(self) -> str:
        """What is wrong, without the target's name in front."""
        return str(self).partition(": ")[2]


class GraphTooLarge(GateFailed):
    """Of this target only: another format may hold the network."""

    def __init__(self, target: str, found: int, limit: int) -> None:
        super().__init__(
            f"{target}: the network's weights take {found / 1e9:.2f} GB, one file holds {limit / 1e9:.2f} GB "
            "(protobuf's limit): choose another target or a smaller architecture"
        )


class ParityFailed(GateFailed):
    def __init__(self, target: str, reason: str) -> None:
        super().__init__(f"{target}: not the same classifier as the checkpoint: {reason}: not published")
        self._reason = reason

    @property
    def reason(self) -> str:
        return self._reason


class AccuracyFailed(GateFailed):
    def __init__(self, target: str, found: float, reference: float, share: float) -> None:
        super().__init__(
            f"{target}: top-1 is {found:.4f}, the checkpoint has {reference:.4f} on the same pictures: "
            f"below {share:.4g} of it"
        )


class ClassLost(GateFailed):
    def __init__(self, target: str, label: str, lost: int, pictures: int, share: float) -> None:
        super().__init__(
            f"{target}: class {label!r} lost {lost} of its {pictures} pictures, more than {share:.4g} of them "
            "(--max-class-drop)"
        )


class GraphInvalid(GateFailed):
    def __init__(self, target: str, reason: str) -> None:
        super().__init__(f"{target}: the exporter wrote something else than was asked for: {reason}")


class WriterFailed(GateFailed):
    def __init__(self, target: str, error: Exception) -> None:
        reason = " ".join(str(error).split())[:300]
        super().__init__(f"{target}: the exporter failed on this network ({type(error).__name__}: {reason})")


class ConverterFailed(GateFailed):
    """A converter that runs in a process of its own; `log` is what it left on standard error."""

    def __init__(self, target: str, log: str) -> None:
        super().__init__(f"{target}: the converter failed: {last_line(log)}")


class NothingPublished(GateFailed):
    def __init__(self, refusals: Sequence[Refusal]) -> None:
        reasons = "; ".join(refusal.reason for refusal in refusals)
        super().__init__(f"nothing was published: none of {len(refusals)} targets passed: {reasons}")


class OldBundleKept(GateFailed):
    def __init__(self, path: object, refusals: Sequence[Refusal]) -> None:
        reasons = "; ".join(refusal.reason for refusal in refusals)
        super().__init__(
            f"{path}: the old bundle was kept, since not every target passed (choose another --out to get the "
            f"others): {reasons}"
        )


class NoCalibration(ConvoyError):
    def __init__(self, run: object) -> None:
        super().__init__(
            f"{run}: int8 is calibrated on training pictures, and this checkpoint was not trained here: give some "
            "with --calibration FOLDER (not the evaluation pictures)"
        )


class NotQuantizable(GateFailed):
    """Every rung was tried. elsewhere: where more might pass than on this machine."""

    def __init__(
        self, target: str, architecture: str, rungs: Sequence[Rung], better: Sequence[str], elsewhere: str = ""
    ) -> None:
        tried = "; ".join(f"{rung.name}: {rung.reason}" for rung in rungs)
        super().__init__(
            f"{target}: {architecture} does not keep its answers as int8 ({tried}): export fp32 or fp16"
            f"{elsewhere and f', or {elsewhere}'}, or train one that does: {', '.join(better)}"
        )
        self.rungs = tuple(rungs)


class RungSkipped(ConvoyError):
    """A rung of the ladder that cannot be tried here; the next one, or the refusal, follows."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"skipped: {reason}")


class WorkerDied(GateFailed):
    def __init__(self, target: str, log: str) -> None:
        self.target = target
        super().__init__(f"{target}: its runtime ended while it was timed: {last_line(log)}")


class NothingToTime(ConvoyError):
    def __init__(self) -> None:
        super().__init__("no artefact of these bundles can be run here: export one that can, such as onnx")


class TooManyThreads(ConvoyError):
    def __init__(self, threads: int, cores: int) -> None:
        super().__init__(f"--threads {threads}: expected at most {cores} on this machine of {cores} cores")


class PageNotBuilt(ConvoyError):
    def __init__(self, built: object) -> None:
        super().__init__(
            f"{built}: the page is not built: run `make phone` (it needs Node.js 20.19 or newer with npm), or give "
            "the folder of a build with --page"
        )


class PageTakesNoSuchBundle(ConvoyError):
    def __init__(self, bundle: object, targets: Sequence[str]) -> None:
        super().__init__(
            f"{bundle}: a browser runs onnx and onnx-int8, the bundle has {', '.join(targets)}: "
            "export it with --to onnx,onnx-int8"
        )

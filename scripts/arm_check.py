"""Does a bundle answer on Arm as it does on x86? Pixels bit for bit, probabilities within the golden tolerance.

    .venv/bin/python scripts/arm_check.py BUNDLE [--pictures FOLDER] [--cpu cortex-a72] [--out arm.json]

The golden pictures, the conformance kit of `convoy phone` and your own pictures are decoded, preprocessed and answered
by the same program (scripts/answer_pictures.py) here and on an emulated Arm processor, with the aarch64 wheels of the
same releases. Exit code 1 where the two do not agree. Needs Debian's debootstrap and qemu-user-static; the arm64
folder (some 200 MB, see --root) is made once. The times are the emulator's and only printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from arm_root import ROOT, StepFailed, arm_root, default_root, recipe, run

from bundle.errors import ConvoyError
from bundle.folder import Folder, open_bundle
from bundle.golden import GOLDEN_TOLERANCE
from bundle.manifest import BundleManifest
from export.phone_kit import pictures as kit_pictures

PROGRAM = "answer_pictures.py"
SUFFIXES = (".onnx", ".ort")
"""Of what onnxruntime runs."""
CPUS = ("cortex-a72", "neoverse-n1")
"""Without the dot product of int8, and with it. `max`, all that QEMU knows, can take a minute for a float picture."""


@dataclass(frozen=True)
class Answers:
    """What answer_pictures.py wrote: uint8 [n, H, W, 3], by target float32 [n, K], and its answers.json."""

    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    probabilities: dict[str, np.ndarray[Any, np.dtype[np.float32]]]
    record: dict[str, Any]


@dataclass(frozen=True)
class Flip:
    """A picture with another first class; `lead`: of the first over the second probability, here."""

    picture: str
    lead: float


@dataclass(frozen=True)
class Agreement:
    """One file on one set of pictures (`golden`, `kit`, `own`), Arm against here."""

    target: str
    pictures_of: str
    pictures: int
    equal_pixels: int
    same_top1: int
    largest_difference: float
    tolerance: float
    flips: tuple[Flip, ...]

    @property
    def problem(self) -> str | None:
        """What does not agree. Outside of the golden pictures a near tie may flip within the tolerance."""
        if self.equal_pixels < self.pictures:
            return f"{self.pictures - self.equal_pixels} of {self.pictures} pictures have other pixels"
        if not self.largest_difference <= self.tolerance:  # NaN is no agreement either
            return f"probabilities differ by {self.largest_difference:.2g}, allowed {self.tolerance:.2g}"
        if self.pictures_of == "golden" and self.flips:
            return f"another first class for {', '.join(flip.picture for flip in self.flips)}"
        return None


class OtherPictures(ConvoyError):
    def __init__(self, expected: list[str], found: list[str]) -> None:
        super().__init__(f"Arm answered {len(found)} pictures, expected the {len(expected)} given")


def read_answers(folder: Path) -> Answers:
    """Raises: OSError, ValueError where a file is missing or damaged."""
    record = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    probabilities = {target: np.load(folder / f"{target}.npy", allow_pickle=False) for target in record["targets"]}
    return Answers(np.load(folder / "pixels.npy", allow_pickle=False), probabilities, record)


def compare(here: Answers, there: Answers) -> list[Agreement]:
    """Every file on every set of pictures. Raises: OtherPictures."""
    names = here.record["pictures"]
    if there.record["pictures"] != names or len(there.pixels) != len(names):
        raise OtherPictures(names, there.record["pictures"])
    kinds = np.array([name.split("/")[0] for name in names])
    return [
        _agreement(here, there, target, kind, np.flatnonzero(kinds == kind))
        for target in here.probabilities
        for kind in dict.fromkeys(kinds.tolist())
    ]


def _agreement(here: Answers, there: Answers, target: str, kind: str, chosen: np.ndarray) -> Agreement:
    expected, found = here.probabilities[target][chosen], there.probabilities[target][chosen]
    equal = (here.pixels[chosen] == there.pixels[chosen]).all(axis=(1, 2, 3))
    flipped = np.flatnonzero(expected.argmax(1) != found.argmax(1))
    second, first = np.sort(expected, axis=1)[:, -2:].T
    names = here.record["pictures"]
    return Agreement(
        target=target,
        pictures_of=kind,
        pictures=len(chosen),
        equal_pixels=int(equal.sum()),
        same_top1=len(chosen) - len(flipped),
        largest_difference=float(np.abs(expected - found).max()),
        tolerance=GOLDEN_TOLERANCE[here.record["targets"][target]["precision"]],
        flips=tuple(Flip(names[chosen[at]], float(first[at] - second[at])) for at in flipped),
    )


def problems(found: list[Agreement], there: Answers) -> list[str]:
    """One line for each thing that does not agree; none where all does."""
    lines = [f"{one.target}, {one.pictures_of}: {one.problem}" for one in found if one.problem]
    goldens = {target: line["golden"]["problem"] for target, line in there.record["targets"].items()}
    return lines + [f"{target}: {problem}" for target, problem in goldens.items() if problem]


def write_pictures(folder: Path, bundle: Folder[BundleManifest], own: Path | None, kit: bool) -> None:
    """golden/, kit/ and own/, each where it is wanted."""
    for golden in bundle.manifest.golden:
        _copy(bundle.path(golden.image), folder / "golden" / Path(golden.image.path).name)
    for name, data in kit_pictures() if kit else ():
        (folder / "kit").mkdir(exist_ok=True)
        (folder / "kit" / name).write_bytes(data)
    for path in sorted(own.rglob("*")) if own else ():
        if path.is_file():
            _copy(path, folder / "own" / path.relative_to(own))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def answers_here(bundle: Path, pictures: Path, out: Path, targets: list[str]) -> Answers:
    """This processor's, by the same program. Raises: StepFailed."""
    command = [sys.executable, str(ROOT / "scripts" / PROGRAM), *map(str, (bundle, pictures, out)), *targets]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    if done.returncode:
        raise StepFailed("answering here", done.stderr)
    return read_answers(out)


def answers_on_arm(root: Path, cpu: str, job: Path, targets: list[str]) -> Answers:
    """The emulated processor's; `job` lies in the arm64 folder and has code/, bundle/ and pictures/."""
    inside = f"/{job.name}"
    places = [f"{inside}/{name}" for name in ("bundle", "pictures", cpu)]
    run(root, cpu, [f"{inside}/code/{PROGRAM}", *places, *targets], modules=f"{inside}/code")
    return read_answers(job / cpu)


def check(bundle: Path, root: Path, cpus: list[str], own: Path | None, kit: bool) -> tuple[dict[str, Any], list[str]]:
    """The record of a bundle, and what does not agree.

    Raises: FolderError, CannotEmulate, NotAnArmRoot, StepFailed.
    """
    opened = open_bundle(bundle)
    targets = [one.target for one in opened.manifest.artefacts if Path(one.path).suffix in SUFFIXES]
    arm = arm_root(root)
    record: dict[str, Any] = {"bundle": opened.id, "architecture": opened.manifest.architecture.name}
    wrong = []
    with tempfile.TemporaryDirectory(dir=arm / "root", prefix="job-") as name:
        job = Path(name)
        write_pictures(job / "pictures", opened, own, kit)
        here = answers_here(bundle, job / "pictures", job / "here", targets)
        shutil.copytree(bundle, job / "bundle")
        shutil.copytree(ROOT / "bundle", job / "code" / "bundle")
        shutil.copyfile(ROOT / "scripts" / PROGRAM, job / "code" / PROGRAM)
        record |= {"versions": here.record["versions"], "emulator": recipe()["emulator"], "cpus": {}}
        for cpu in cpus:
            there = answers_on_arm(arm, cpu, job, targets)
            found = compare(here, there)
            show(cpu, found, there)
            wrong += [f"{cpu}, {line}" for line in problems(found, there)]
            record["cpus"][cpu] = [_plain(one) for one in found]
    return record, wrong


def _plain(agreement: Agreement) -> dict[str, Any]:
    return {**asdict(agreement), "flips": [asdict(flip) for flip in agreement.flips]}


def show(cpu: str, found: list[Agreement], there: Answers) -> None:
    """A line for each file and set of pictures."""
    for one in found:
        print(
            f"{cpu} {one.target}, {one.pictures_of}: {one.same_top1} of {one.pictures} same first class, probabilities "
            f"differ by {one.largest_difference:.1e} (allowed {one.tolerance:.0e}), {one.equal_pixels} with equal "
            f"pixels, {there.record['targets'][one.target]['ms_per_picture']:.0f} ms a picture (emulated)",
            flush=True,
        )


def table(records: dict[str, Any]) -> str:
    """The rows of docs/phone.md."""
    rows = [
        "| network | processor | file | pictures | same first class | largest difference |",
        "|---|---|---|---|---|---|",
    ]
    for record in records.values():
        for cpu, lines in record["cpus"].items():
            rows += [
                f"| {record['architecture']} | {cpu} | {one['target']} | {one['pictures']} {one['pictures_of']} "
                f"| {one['same_top1']} | {one['largest_difference']:.0e} |"
                for one in lines
            ]
    return "\n".join(rows)


def _write(out: Path, name: str, record: dict[str, Any]) -> None:
    """Beside what is recorded of other bundles, and of this one on other processors."""
    records = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    earlier = records.get(name)
    if earlier and {**earlier, "cpus": {}} == {**record, "cpus": {}}:
        record = {**record, "cpus": {**earlier["cpus"], **record["cpus"]}}
    out.write_text(json.dumps({**records, name: record}, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Check, print, write; 1 where x86 and Arm do not agree, 2 where they cannot be compared."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--pictures", type=Path, help="a folder of your own pictures, in addition")
    parser.add_argument("--no-kit", action="store_true", help="leave the conformance kit out")
    parser.add_argument("--cpu", nargs="+", default=list(CPUS), metavar="NAME", help="QEMU's names  [%(default)s]")
    parser.add_argument("--root", type=Path, default=default_root(), help="the arm64 folder  [%(default)s]")
    parser.add_argument("--out", type=Path, help="add the record to this JSON file")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the emulator ends, the job's files go
    try:
        record, wrong = check(given.bundle, given.root, given.cpu, given.pictures, not given.no_kit)
    except ConvoyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if given.out:
        _write(given.out, given.bundle.absolute().name, record)
    for line in wrong:
        print(f"x86 and Arm do not agree: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

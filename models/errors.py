"""What can go wrong between a folder of pictures and a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bundle.errors import ConvoyError, ImageError, near


class UnknownArchitecture(ConvoyError):
    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        super().__init__(f"unknown architecture {name!r}{near(name, known)}: `convoy zoo` lists the {len(known)} known")


class UnknownTimm(ConvoyError):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"timm has no model {name!r}{near(name, known)}: timm.list_models() names its {len(known)}")


class NoSingleHead(ConvoyError):
    def __init__(self, name: str, heads: object) -> None:
        super().__init__(f"timm/{name} has no single last layer to replace ({heads}): choose another model")


class UnknownFamily(ConvoyError):
    def __init__(self, family: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown family {family!r}{near(family, known)}: choose one of {', '.join(known)}")


class YearsInvalid(ConvoyError):
    def __init__(self, text: str) -> None:
        super().__init__(f"not a year or two: {text!r}: expected 2015, or 2014-2017")


class NothingToPlot(ConvoyError):
    def __init__(self) -> None:
        super().__init__("no architecture with published accuracy is left to plot: loosen the filters")


class UnknownLayer(ConvoyError):
    def __init__(self, architecture: str, layer: str, known: Sequence[str]) -> None:
        super().__init__(
            f"{architecture} has no layer {layer!r}{near(layer, known)}: `convoy describe {architecture}` lists them"
        )


class PictureTooSmall(ConvoyError):
    def __init__(self, architecture: str, pixels: int) -> None:
        super().__init__(f"{pixels}×{pixels} pixels are too small for {architecture}: its maps run out: give more")


class NotMaps(ConvoyError):
    def __init__(self, layer: str, shape: Sequence[int]) -> None:
        super().__init__(
            f"the layer {layer!r} gives {'×'.join(map(str, shape)) or 'no tensor'}, which cannot be drawn: "
            "choose one that gives maps, channels×height×width"
        )


class ScalingOutOfRange(ConvoyError):
    def __init__(self, phi: object, limit: float) -> None:
        super().__init__(
            f"the scaling exponent is {phi}: expected a number from 0 to {limit:g}, as in efficientnet/2.5"
        )


class WeightsUnavailable(ConvoyError):
    def __init__(self, architecture: str, reason: str) -> None:
        super().__init__(
            f"the ImageNet weights of {architecture} cannot be had: {reason}: "
            "give a file with --weights PATH, or --weights none"
        )


class WeightsUnreadable(ConvoyError):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: not readable as weights ({reason}): expected .safetensors or a state_dict file")


class WeightsMismatch(ConvoyError):
    def __init__(self, path: object, architecture: str, differences: Sequence[str]) -> None:
        super().__init__(f"{path}: not the weights of {architecture}: {'; '.join(differences)}: check --arch")


class DataNotFound(ConvoyError):
    def __init__(self, path: Path, expected: str) -> None:
        super().__init__(f"{path}: no such data (expected {expected})")


class NoImages(ConvoyError):
    def __init__(self, path: Path, suffixes: Iterable[str]) -> None:
        super().__init__(f"{path}: no images (expected one folder per class with files of {', '.join(suffixes)})")


class TooFewClasses(ConvoyError):
    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        found = f"only one class, {classes[0]!r}" if classes else "no class folder"
        super().__init__(f"{path}: {found}: a classifier needs at least two folders of images, or labels in a table")


class EmptyClass(ConvoyError):
    def __init__(self, path: Path, split: str, classes: Sequence[str]) -> None:
        super().__init__(f"{path}: no image for {', '.join(classes)} in {split}: add some, or remove the folder")


class UnknownLabel(ConvoyError):
    def __init__(self, path: Path, label: str, known: Sequence[str]) -> None:
        super().__init__(f"{path}: label {label!r} is not one of the {len(known)} known labels{near(label, known)}")


class AmbiguousLabel(ConvoyError):
    def __init__(self, path: Path, label: str) -> None:
        super().__init__(f"{path}: two classes are called {label!r}: name the class by class_index in a CSV")


class UnusableLabel(ConvoyError):
    def __init__(self, path: Path, label: str) -> None:
        super().__init__(f"{path}: the class name {label!r} has a control character or is blank: rename it")


class MixedFolder(ConvoyError):
    def __init__(self, path: Path, name: str) -> None:
        super().__init__(f"{path}: pictures ({name}) beside folders of pictures: keep one or the other")


class BadPictures(ConvoyError):
    """Pictures that cannot be decoded. Each is named; the first few are on the line."""

    def __init__(self, bad: Sequence[tuple[Path, str]]) -> None:
        self.bad = tuple(bad)
        named = "; ".join(f"{path}: {reason}" for path, reason in self.bad[:5])
        more = f"; and {len(self.bad) - 5} more (`convoy data` lists all)" if len(self.bad) > 5 else ""
        super().__init__(f"{len(self.bad)} unreadable image(s): {named}{more}: remove them, or pass --skip-bad")


class BadTable(ConvoyError):
    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(
            f"{path}, line {line}: {reason} (expected a CSV with a header: path or file, and label or class_index)"
        )


class NoTableRows(ConvoyError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: no picture to train on in this table: add a row, or check the split column")


class NoPart(ConvoyError):
    """The source has parts, but not this one."""

    def __init__(self, path: Path, wanted: Sequence[str], available: Iterable[str]) -> None:
        found = ", ".join(part for part in available) or "none"
        super().__init__(f"{path}: no pictures for {' or '.join(wanted)} (there are: {found}): name the split so")


class ArchiveUnreadable(ConvoyError):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: the archive cannot be read ({reason}): make it again, as a plain zip")


class ArchiveUnsafe(ConvoyError):
    def __init__(self, path: Path, name: str, reason: str) -> None:
        super().__init__(
            f"{path}: the entry {name!r} {reason}: expected plain, unencrypted files under relative names, each once"
        )


class EntryUnreadable(ImageError):
    """A picture that its container does not give out."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the image cannot be taken out of its file ({reason}): make the file again")


class BadIdx(ConvoyError):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}: expected MNIST's idx format, plain or gzip: fetch the file again")


class IdxPairMissing(ConvoyError):
    def __init__(self, images: Path, expected: str) -> None:
        super().__init__(f"{images}: no labels beside it: expected {expected} or {expected}.gz in the same folder")


class DownloadFailed(ConvoyError):
    def __init__(self, name: str, root: Path, reason: str) -> None:
        super().__init__(
            f"{name} cannot be had ({reason}): check the network, or put torchvision's files of it into {root}"
        )


class PictureLost(ConvoyError):
    """A picture that could be read before training and cannot be any more.

    text: a line alone, for the exception crosses from a loader's process.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)


class LabelsMismatch(ConvoyError):
    def __init__(self, path: Path, found: int, expected: int) -> None:
        super().__init__(f"{path}: {found} labels for a network of {expected} classes: one label per line, in order")


class LabelsMissing(ConvoyError):
    def __init__(self, classes: int) -> None:
        super().__init__(f"these weights carry no labels for their {classes} classes: give them with --labels FILE")


class RecipeInvalid(ConvoyError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"the training settings are not valid: {reason}")


class UnknownRecipe(ConvoyError):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(
            f"no recipe is called {name!r}{near(name, known)}: there are {', '.join(known)}; a file ends in .yaml"
        )


class RecipeUnreadable(ConvoyError):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: not readable as a recipe ({reason}): expected YAML with a setting on each line")


class SettingInvalid(ConvoyError):
    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"--set {text}: {reason}, for example --set epochs=5 or --set preprocess.crop=96")


class DataChanged(ConvoyError):
    def __init__(self, path: object) -> None:
        super().__init__(
            f"{path}: the pictures are not those that the checkpoint was validated on: "
            "give the evaluation pictures with --data"
        )


class NoEvaluationData(ConvoyError):
    def __init__(self, run: object) -> None:
        super().__init__(f"{run}: this checkpoint names no validation pictures: give some with --data")


class Interrupted(ConvoyError):
    """Ctrl-C (130) or SIGTERM (143), as a shell counts them.

    best: in words, the best epoch so far; None when none was finished.
    """

    def __init__(self, exit_code: int, out: Path, best: str | None) -> None:
        self.exit_code = exit_code
        super().__init__(
            "training was stopped before its first epoch ended: nothing was written"
            if best is None
            else f"training was stopped; kept: {best}: go on with `convoy train --out {out} --resume`, "
            f"or make a checkpoint of it with `convoy train --out {out} --finish`"
        )


class Diverged(ConvoyError):
    exit_code = 1

    def __init__(self, epoch: int, learning_rate: float) -> None:
        super().__init__(
            f"training has diverged: in epoch {epoch} the loss is infinity or no number at all: "
            f"lower the learning rate (it is {learning_rate:g}), or set gradient_clip"
        )


class RunUnfinished(ConvoyError):
    def __init__(self, out: Path) -> None:
        super().__init__(
            f"{out}: a run of this name was stopped before its end: go on with --resume, "
            "take its best epoch with --finish, or begin anew with --overwrite"
        )


class NothingToResume(ConvoyError):
    def __init__(self, out: Path, found: bool) -> None:
        super().__init__(
            f"{out}: this run is finished: train further from its weights with --weights {out}/weights.safetensors"
            if found
            else f"{out}: no run of this name was stopped after an epoch: start one without --resume and --finish"
        )


class RunInProgress(ConvoyError):
    def __init__(self, out: Path) -> None:
        super().__init__(f"{out}: another process trains this run now: wait for it, or choose another --out")


class RunChanged(ConvoyError):
    def __init__(self, what: str) -> None:
        super().__init__(f"{what} changed since the run was stopped: put it back, or begin anew with --overwrite")


class BatchNotDivisible(ConvoyError):
    def __init__(self, batch_size: int, processes: int) -> None:
        super().__init__(
            f"batch_size {batch_size} cannot be shared by {processes} devices: give a multiple of {processes}"
        )


class TooFewSteps(ConvoyError):
    def __init__(self, steps: int) -> None:
        super().__init__(
            f"only {steps} learning rates could be tried before the loss was no number: "
            "give more pictures or epochs, or check the data"
        )


class HardwareMissing(ConvoyError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"this machine cannot train so: {' '.join(reason.split())}")


class NoLabels(ConvoyError):
    def __init__(self, path: object) -> None:
        super().__init__(f"{path}: the pictures carry no labels: give a folder of classes, or a CSV with labels")


class NotFinite(ConvoyError):
    exit_code = 1

    def __init__(self, bad: int, total: int) -> None:
        super().__init__(
            f"the network answers infinity or no number at all for {bad} of {total} pictures: "
            "training has diverged: lower the learning rate"
        )

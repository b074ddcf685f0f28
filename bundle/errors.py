"""One class per thing that can go wrong.

Every class writes its own message: what, where, what was expected, what to do. The command line prints it
on one line and exits with `exit_code`; the service maps the class to an HTTP status in `service/problems.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def near(name: str, known: Iterable[str]) -> str:
    """A hint such as ` (near: resnet18, resnet50)`, or an empty string when nothing is near."""
    matches = get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f" (near: {', '.join(matches)})" if matches else ""


class ConvoyError(Exception):
    """Anything that the user can put right. `exit_code` is what the command line ends with."""

    exit_code = 2


class ImageError(ConvoyError):
    """A picture that gives no tensor."""


class EmptyImage(ImageError):
    def __init__(self) -> None:
        super().__init__("the image is empty (0 bytes): send the bytes of the file")


class TooManyBytes(ImageError):
    def __init__(self, limit: int) -> None:
        super().__init__(f"the image is larger than {limit} bytes: send a smaller file")


class TooManyPixels(ImageError):
    def __init__(self, size: tuple[int, int] | None, limit: int) -> None:
        claim = f"has {size[0]}x{size[1]} pixels" if size else "claims far too many pixels"
        super().__init__(f"the image {claim}, the limit is {limit} pixels: send a smaller picture")


class TooCostly(ImageError):
    """Its form needs far more memory than its pixels."""

    def __init__(self, form: str | None, mode: str, size: tuple[int, int], need: int, limit: int) -> None:
        super().__init__(
            f"a {form} of {size[0]}x{size[1]} pixels ({mode}) takes about {need / 1e6:.0f} MB to decode, the limit is "
            f"{limit / 1e6:.0f} MB: send a smaller picture, or a JPEG"
        )


class UnsupportedImage(ImageError):
    def __init__(self, formats: Iterable[str]) -> None:
        super().__init__(f"not an image of a type that is read here: expected one of {', '.join(formats)}")


class MalformedImage(ImageError):
    """The header is recognised, but broken."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the image's header is broken ({reason}): send an intact file")


class UnreadableImage(ImageError):
    """The header is sound, the pixels are not."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the image's pixels cannot be decoded ({reason}): send an intact file")


class NameInvalid(ConvoyError):
    def __init__(self, what: str, value: str) -> None:
        super().__init__(
            f"{what} {value!r}: use letters, digits, '.', '_' and '-', at most 128, the first a letter or digit "
            "(it becomes part of addresses, metrics and image names)"
        )


class LabelsInvalid(ConvoyError):
    def __init__(self, source: object, reason: str) -> None:
        super().__init__(f"{source}: {reason}: one printable label per class, at least two classes")


class FolderError(ConvoyError):
    """A checkpoint or bundle folder that is not what it claims to be."""


class NotAFolder(FolderError):
    def __init__(self, path: object, kind: str) -> None:
        super().__init__(f"{path}: no {kind} folder here (expected a folder with a manifest.json)")


class ManifestInvalid(FolderError):
    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: the manifest is not valid: {reason}")


class NewerSchema(FolderError):
    def __init__(self, path: object, found: int, known: int) -> None:
        super().__init__(
            f"{path}: schema_version is {found}, this Convoy reads up to {known}: update Convoy, or export again"
        )


class WrongKind(FolderError):
    def __init__(self, path: object, found: str, expected: str) -> None:
        hint = (
            "export it first: convoy export" if (found, expected) == ("checkpoint", "bundle") else "give another folder"
        )
        super().__init__(f"{path}: this is a {found}, a {expected} was expected: {hint}")


class UnsafePath(FolderError):
    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}: every path must be a plain file inside the folder")


class ChecksumMismatch(FolderError):
    def __init__(self, path: object, expected: str, found: str) -> None:
        super().__init__(
            f"{path}: the content changed: sha256 {expected[:12]}… was expected, {found[:12]}… found: "
            "fetch or export the folder again"
        )


class SizeMismatch(FolderError):
    def __init__(self, path: object, expected: int, found: int) -> None:
        super().__init__(f"{path}: {expected} bytes were expected, {found} found: fetch or export the folder again")


class TargetExists(ConvoyError):
    def __init__(self, path: object) -> None:
        super().__init__(f"{path}: exists already: choose another --out, or pass --overwrite")


class NotReplaceable(ConvoyError):
    def __init__(self, path: object, kind: str) -> None:
        super().__init__(f"{path}: exists and is no {kind} folder of Convoy's: it is left alone, choose another --out")


class CannotWrite(ConvoyError):
    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: cannot be written: {reason}")


class GoldenMismatch(FolderError):
    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: a golden answer was not reproduced: {reason}")


class ArtefactMissing(ConvoyError):
    def __init__(self, wanted: str, available: Iterable[str]) -> None:
        super().__init__(f"no artefact {wanted!r} in this bundle: it has {', '.join(available)}")


class ArtefactInvalid(FolderError):
    """The runtime cannot load the file, or its inputs and outputs are not those of the manifest."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: the artefact cannot be used: {reason}")

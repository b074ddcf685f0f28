"""Every picture decoded once, so that a bad one is known before hours of training, not during them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bundle.errors import ImageError
from bundle.image import decode
from models.errors import BadPictures
from models.samples import Pictures, Sample, map_in_order


@dataclass(frozen=True, slots=True)
class Inspection:
    """What decoding found: the content's sha256, size in bytes and upright pixels; or the reason why there is none."""

    sha256: str = ""
    bytes: int = 0
    width: int = 0
    height: int = 0
    reason: str = ""


Track = Callable[[Iterable[Inspection], int], Iterable[Inspection]]
"""Passes the inspections on; knows how many will come. A progress bar, for one."""


def inspect(samples: Sequence[Sample]) -> Iterator[Inspection]:
    """In order, on every core."""
    return map_in_order(_inspect_one, samples)


def check(parts: Mapping[str, Sequence[Sample]], *, skip_bad: bool) -> dict[str, Pictures]:
    """The good pictures of every part. Raises: BadPictures with the bad ones of all parts, unless `skip_bad`."""
    checked = {part: _check_part(part, samples) for part, samples in parts.items()}
    bad = [one for pictures in checked.values() for one in pictures.skipped]
    if bad and not skip_bad:
        raise BadPictures(bad)
    return checked


def _check_part(part: str, samples: Sequence[Sample]) -> Pictures:
    good: list[Sample] = []
    bad: list[tuple[Path, str]] = []
    for sample, found in zip(samples, inspect(samples), strict=True):
        if found.reason:
            bad.append((sample.path, found.reason))
        else:
            good.append(replace(sample, sha256=found.sha256))
    return Pictures(tuple(good), part, tuple(bad))


def _inspect_one(sample: Sample) -> Inspection:
    try:
        data = sample.read()
        image = decode(data)
    except ImageError as error:
        return Inspection(reason=str(error))
    except OSError as error:
        return Inspection(reason=error.strerror or str(error))
    return Inspection(hashlib.sha256(data).hexdigest(), len(data), image.width, image.height)

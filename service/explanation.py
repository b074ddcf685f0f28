"""Where the network saw its answer: a class map as a picture that a client lays over its own."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bundle.manifest import BundleManifest
from bundle.preprocess import crop_share
from service.errors import AnswerNotFinite, InvalidParameter

Map = NDArray[np.float32]
"""[h, w], 0 and more."""

Explain = Callable[[NDArray[np.float32], Map, tuple[int, int]], dict[str, Any]]
"""(float32 [K] probabilities, their class map, the decoded picture's width and height) → the explanation."""

COLOURS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
"""Inferno's: they grow evenly brighter, also for those who see fewer colours."""
OPACITY = 180
"""Of 255, where the map has its largest value: the picture still shows."""


class Explained(NamedTuple):
    """An answer, and why."""

    answer: Any
    explanation: dict[str, Any]


def explainer(manifest: BundleManifest) -> Explain:
    """Makes the `explanation` of a picture's most probable class, on the thread that calls it."""

    def explain(probabilities: NDArray[np.float32], class_map: Map, size: tuple[int, int]) -> dict[str, Any]:
        index, crop = int(probabilities.argmax()), manifest.preprocess.crop
        left, top, width, height = crop_share(size, manifest.preprocess)
        return {
            "label": manifest.labels[index],
            "index": index,
            "width": crop,
            "height": crop,
            "crop": {"left": left, "top": top, "width": width, "height": height},
            "png": base64.b64encode(heat_png(class_map, (crop, crop))).decode(),
        }

    return explain


def heat_png(class_map: Map, size: tuple[int, int]) -> bytes:
    """A PNG of `size` (width, height) with a palette of 256 colours: the index is the heat, 255 the map's largest.

    From clear to OPACITY, from dark to bright. Clear everywhere for a map of zeros. Raises: AnswerNotFinite.
    """
    if not np.isfinite(class_map).all():
        raise AnswerNotFinite()
    largest = float(class_map.max())
    heat = np.ascontiguousarray(class_map / largest if largest > 0 else np.zeros_like(class_map), dtype=np.float32)
    smooth = np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BICUBIC))
    image = Image.fromarray((smooth.clip(0, 1) * 255).round().astype(np.uint8)).convert("P")
    image.putpalette(_PALETTE)
    stream = io.BytesIO()
    image.save(stream, "PNG", transparency=_ALPHA, compress_level=1)
    return stream.getvalue()


def _palette() -> bytes:
    places = np.linspace(0, 255, len(COLOURS))
    channels = [np.interp(np.arange(256), places, [colour[channel] for colour in COLOURS]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8).tobytes()


_PALETTE = _palette()
_ALPHA = bytes(round(heat * OPACITY / 255) for heat in range(256))


def checked_explain(text: str | None) -> bool:
    """The query parameter `explain`. Raises: InvalidParameter."""
    if text not in (None, "true", "false"):
        raise InvalidParameter("explain", str(text), "true or false")
    return text == "true"

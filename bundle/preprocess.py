"""Upright RGB image → uint8 tensor. The only evaluation preprocessing in the project.

Training's evaluation, calibration, the export checks, the service and `convoy predict` all call `preprocess`.
On PIL images it equals torchvision's `Resize` (antialiased) and `CenterCrop` bit for bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bundle.centre import resize_to_crop
from bundle.manifest import Preprocess

Pixels = NDArray[np.uint8]

MAX_ASPECT = 64
"""Beyond this aspect ratio only the crop's own part is resized.

A 1x20000 picture would otherwise become a strip of 256x5120000 pixels (4 GB) of which 224x224 are kept.
Pillow rounds the box to float32, so single pixels may differ by 1 from the whole resize: not below this ratio.
"""

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def resized_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """(width, height) once the short side has `short_side` pixels; the long side is rounded down."""
    width, height = size
    if width <= height:
        return short_side, int(short_side * height / width)
    return int(short_side * width / height), short_side


def crop_share(size: tuple[int, int], spec: Preprocess) -> tuple[float, float, float, float]:
    """(left, top, width, height) of what the network sees of an upright picture of `size` (width, height).

    As shares of the picture's own width and height, 0..1: so they hold too where a large one was decoded smaller.
    """
    width, height = resized_size(size, spec.resize)
    left, top = _corner(width, height, spec.crop)
    return left / width, top / height, spec.crop / width, spec.crop / height


def _corner(width: int, height: int, crop: int) -> tuple[int, int]:
    return round((width - crop) / 2.0), round((height - crop) / 2.0)


def resize_and_crop(image: Image.Image, spec: Preprocess) -> Image.Image:
    """An RGB image of `crop` x `crop` pixels."""
    width, height = resized_size(image.size, spec.resize)
    left, top = _corner(width, height, spec.crop)
    corners = (left, top, left + spec.crop, top + spec.crop)
    resampling = _RESAMPLING[spec.interpolation]
    if max(width, height) <= MAX_ASPECT * spec.resize:
        return resize_to_crop(image, (width, height), corners, resampling)
    across, down = image.width / width, image.height / height
    box = (corners[0] * across, corners[1] * down, corners[2] * across, corners[3] * down)
    return image.resize((spec.crop, spec.crop), resampling, box=box)


def preprocess(image: Image.Image, spec: Preprocess) -> Pixels:
    """uint8 [crop, crop, 3] RGB, C-contiguous, from an upright RGB image (see `bundle.image.decode`)."""
    return np.array(resize_and_crop(image, spec), dtype=np.uint8)

"""Pictures made for tests."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLOURS = {"blue": (20, 30, 120), "green": (60, 220, 70), "red": (250, 160, 150)}
"""Apart in hue and in brightness: LeNet-5 sees grey only."""


def noise(width: int, height: int, seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Smooth random content, so that resampling has something to do."""
    generator = np.random.default_rng(seed)
    small = generator.integers(0, 256, (max(1, height // 4), max(1, width // 4), 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def plain(colour: str, width: int = 20, height: int = 16, seed: int = 0) -> Image.Image:
    """A noisy picture of one of COLOURS."""
    generator = np.random.default_rng(seed)
    pixels = np.array(COLOURS[colour]) + generator.integers(-25, 26, (height, width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """The image as a file's bytes."""
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def write_colour_folder(root: Path, train: int = 12, validation: int = 5) -> Path:
    """`root/{train,val}/{blue,green,red}/*.png`."""
    for split, count in (("train", train), ("val", validation)):
        for index, colour in enumerate(COLOURS):
            folder = root / split / colour
            folder.mkdir(parents=True)
            for number in range(count):
                seed = 1000 * index + number + (500 if split == "val" else 0)
                plain(colour, 20 + number, 18 + number % 3, seed).save(folder / f"{number:03d}.png")
    return root

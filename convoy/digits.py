"""scikit-learn's handwritten digits as a folder of labelled images: real data that needs no network.

1,797 pictures of 8x8 pixels, 16 shades, from the UCI "Optical Recognition of Handwritten Digits" set.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 32
"""LeNet-5's input; enlarged once here, so that one can see what is in the files."""


def write_digits(root: Path) -> Path:
    """Write `root/CLASS/NNNN.png` unless it is complete already; returns `root`."""
    done = root / ".complete"
    if done.exists():
        return root
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        folder = root / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        grey = np.clip(pixels * (255 / 16), 0, 255).astype(np.uint8)
        Image.fromarray(grey).resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(folder / f"{number:04d}.png")
    done.touch()
    return root

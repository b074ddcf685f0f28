"""Training-time augmentation. It starts from the same decoded image as evaluation does."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from bundle.manifest import Preprocess
from bundle.preprocess import Pixels, preprocess


class Augment:
    """Upright RGB image → uint8 [crop, crop, 3]; `none` is the evaluation preprocessing itself."""

    def __init__(self, preset: Literal["none", "light"], spec: Preprocess) -> None:
        self.spec = spec
        self.transform = (
            v2.Compose(
                [
                    v2.RandomResizedCrop(
                        spec.crop,
                        scale=(0.35, 1.0),
                        interpolation=InterpolationMode(spec.interpolation),
                    ),
                    v2.RandomHorizontalFlip(),
                ]
            )
            if preset == "light"
            else None
        )

    def __call__(self, image: Image.Image) -> Pixels:
        if self.transform is None:
            return preprocess(image, self.spec)
        return np.array(self.transform(image), dtype=np.uint8)

"""Training-time augmentation. It starts from the same decoded image as evaluation does.

| preset | crop of the area | besides |
|---|---|---|
| none | the evaluation preprocessing itself | |
| light | 35-100 % | |
| standard | 25-100 % | RandAugment, 2 operations of magnitude 9 (Cubuk et al., 2020) |
| strong | 8-100 % | TrivialAugment, wide (Müller and Hutter, 2021), and erasing of a rectangle (Zhong et al., 2020) |

All but `none` mirror half of the pictures unless the recipe says flip=false; its smallest_crop takes the place of the
preset's. A digit of which a third is left is another digit: pictures of one centred thing want 0.7 and more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from bundle.manifest import Preprocess
from bundle.preprocess import Pixels, preprocess

Preset = Literal["none", "light", "standard", "strong"]

SMALLEST_CROP = {"light": 0.35, "standard": 0.25, "strong": 0.08}
"""Of the picture's area. 8 % is that of Inception's and ResNet's recipes on a million pictures; a few hundred want more
of each."""

ERASED = 0.25
"""The share of pictures that lose a rectangle, `strong` only."""


class Augment:
    """Upright RGB image → uint8 [crop, crop, 3]. It draws from torch's global generator."""

    def __init__(
        self, preset: Preset, spec: Preprocess, *, flip: bool = True, smallest_crop: float | None = None
    ) -> None:
        self.spec = spec
        self.transform: Callable[[Image.Image], Any] | None = None
        if preset != "none":
            self.transform = v2.Compose(_steps(preset, spec, flip, smallest_crop))

    def __call__(self, image: Image.Image) -> Pixels:
        if self.transform is None:
            return preprocess(image, self.spec)
        return np.array(self.transform(image), dtype=np.uint8)


def _steps(preset: Preset, spec: Preprocess, flip: bool, smallest_crop: float | None) -> list[Any]:
    interpolation = InterpolationMode(spec.interpolation)
    scale = (SMALLEST_CROP[preset] if smallest_crop is None else smallest_crop, 1.0)
    steps: list[Any] = [v2.RandomResizedCrop(spec.crop, scale=scale, interpolation=interpolation)]
    if flip:
        steps.append(v2.RandomHorizontalFlip())
    # What rotation and shear leave empty takes the mean colour, as the network sees zero there.
    fill = [round(255 * value) for value in spec.mean]
    if preset == "standard":
        steps.append(v2.RandAugment(num_ops=2, magnitude=9, interpolation=interpolation, fill=fill))
    if preset == "strong":
        steps += [v2.TrivialAugmentWide(interpolation=interpolation, fill=fill), v2.PILToTensor()]
        steps += [v2.RandomErasing(p=ERASED, value=fill), v2.Lambda(_channels_last)]
    return steps


def _channels_last(image: Any) -> Any:
    """uint8 [3, H, W] → [H, W, 3]."""
    return image.permute(1, 2, 0).numpy()

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from bundle.manifest import Preprocess
from bundle.preprocess import preprocess
from models.augment import Augment, Preset
from models.datasets import PictureDataset
from models.order import Draw
from models.samples import Pictures, Sample
from tests.pictures import encode, noise

SPEC = Preprocess(resize=40, crop=32, mean=(0.5, 0.25, 0.75), std=(1, 1, 1))


@pytest.mark.parametrize("preset", get_args(Preset))
def test_every_preset_gives_the_networks_input(preset: Preset) -> None:
    torch.manual_seed(0)
    augment = Augment(preset, SPEC)
    for size in ((90, 60), (7, 300), (1, 1)):
        pixels = augment(noise(*size))
        assert pixels.shape == (32, 32, 3)
        assert pixels.dtype == np.uint8


def test_none_is_the_evaluation_preprocessing() -> None:
    picture = noise(90, 60)
    assert np.array_equal(Augment("none", SPEC)(picture), preprocess(picture, SPEC))


@pytest.mark.parametrize("preset", ["light", "standard", "strong"])
def test_presets_vary_and_repeat_with_the_generator(preset: Preset) -> None:
    augment, picture = Augment(preset, SPEC), noise(90, 60)
    torch.manual_seed(1)
    first, second = augment(picture), augment(picture)
    torch.manual_seed(1)
    assert np.array_equal(augment(picture), first)
    assert not np.array_equal(first, second)


def test_pictures_are_mirrored_unless_told_not_to_be() -> None:
    """A bright right half stays on the right."""
    picture = noise(64, 64).point(lambda _: 0)
    picture.paste((255, 255, 255), (32, 0, 64, 64))

    def left_is_brighter(flip: bool) -> int:
        torch.manual_seed(0)
        augment = Augment("light", SPEC, flip=flip, smallest_crop=0.9)
        results = [augment(picture) for _ in range(40)]
        return sum(int(pixels[:, :16].mean() > pixels[:, 16:].mean()) for pixels in results)

    assert left_is_brighter(flip=False) == 0
    assert 10 <= left_is_brighter(flip=True) <= 30


def test_a_crop_keeps_the_share_that_the_recipe_asks_for() -> None:
    """The picture is a ramp: what a crop shows of it is the share of the width that is left."""
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3))
    from PIL import Image

    torch.manual_seed(0)
    augment = Augment("strong", SPEC, flip=False, smallest_crop=1.0)
    tight = Augment("light", SPEC, flip=False, smallest_crop=0.1)
    widths = [int(np.ptp(tight(Image.fromarray(ramp))[..., 0].astype(int))) for _ in range(40)]
    assert min(widths) < 150
    assert augment.transform is not None
    light = Augment("light", SPEC, flip=False, smallest_crop=1.0)
    assert min(int(np.ptp(light(Image.fromarray(ramp))[..., 0].astype(int))) for _ in range(40)) > 180


def test_what_erasing_takes_is_the_mean_colour() -> None:
    torch.manual_seed(0)
    augment, white = Augment("strong", SPEC, smallest_crop=0.9), noise(64, 64).point(lambda _: 255)
    seen = np.concatenate([augment(white).reshape(-1, 3) for _ in range(30)])
    assert (seen == (128, 64, 191)).all(axis=1).any()


def test_an_augmentation_depends_on_seed_epoch_and_picture_alone() -> None:
    class Memory:
        def read(self, path: object) -> bytes:
            return encode(noise(60, 50))

    samples = tuple(Sample(path=f"{number}.png", label=0, store=Memory()) for number in range(3))  # type: ignore[arg-type]
    pictures = Pictures(samples, "train")
    dataset = PictureDataset(pictures, Augment("strong", SPEC), seed=5)
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    first = dataset[Draw(2, 1)][0]
    assert torch.equal(torch.rand(3), expected)  # the process's own generator was not moved
    assert torch.equal(dataset[Draw(2, 1)][0], first)
    for other in (Draw(3, 1), Draw(2, 0)):
        assert not torch.equal(dataset[other][0], first)
    assert not torch.equal(PictureDataset(pictures, dataset.augment, seed=6)[Draw(2, 1)][0], first)

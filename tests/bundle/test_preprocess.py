from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from bundle.image import decode
from bundle.manifest import Preprocess
from bundle.preprocess import MAX_ASPECT, preprocess, resized_size
from tests.pictures import noise


def spec(resize: int, crop: int, interpolation: str = "bilinear") -> Preprocess:
    return Preprocess.model_validate(
        {"resize": resize, "crop": crop, "interpolation": interpolation, "mean": (0, 0, 0), "std": (1, 1, 1)}
    )


def torchvision_pixels(image: Image.Image, wanted: Preprocess) -> np.ndarray:
    transform = Compose([Resize(wanted.resize, InterpolationMode(wanted.interpolation)), CenterCrop(wanted.crop)])
    return np.asarray(transform(image))


@settings(max_examples=120)
@given(
    st.integers(1, 400),
    st.integers(1, 400),
    st.integers(8, 128),
    st.data(),
    st.sampled_from(["bilinear", "bicubic"]),
)
def test_equals_torchvision_bit_for_bit(
    width: int, height: int, resize: int, data: st.DataObject, interpolation: str
) -> None:
    if max(width, height) > MAX_ASPECT * min(width, height):
        width = height = min(width, height)
    wanted = spec(resize, data.draw(st.integers(1, resize)), interpolation)
    image = noise(width, height, seed=width * 401 + height)
    np.testing.assert_array_equal(preprocess(image, wanted), torchvision_pixels(image, wanted))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_equals_torchvision_on_real_pictures(test_data: Path, interpolation: str) -> None:
    wanted = spec(256, 224, interpolation)
    with (test_data / "imagenet_sample.csv").open() as file:
        names = [row["file"] for row in csv.DictReader(file)]
    assert len(names) == 300
    for name in names:
        image = decode(test_data / name)
        np.testing.assert_array_equal(preprocess(image, wanted), torchvision_pixels(image, wanted), err_msg=name)


def test_the_tensor_is_contiguous_uint8_and_its_own() -> None:
    pixels = preprocess(noise(300, 200), spec(64, 48))
    assert (pixels.shape, pixels.dtype) == ((48, 48, 3), np.uint8)
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable


def test_the_long_side_is_rounded_down() -> None:
    assert resized_size((500, 375), 256) == (341, 256)
    assert resized_size((375, 500), 256) == (256, 341)
    assert resized_size((256, 256), 256) == (256, 256)


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1), (3, 62_728)])
def test_a_strip_is_never_resized_whole(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    original = Image.Image.resize

    def watched(self: Image.Image, size: tuple[int, int], *arguments: object, **options: object) -> Image.Image:
        sizes.append(size)
        return original(self, size, *arguments, **options)

    monkeypatch.setattr(Image.Image, "resize", watched)
    assert preprocess(Image.new("RGB", size, (1, 2, 3)), spec(256, 224)).shape == (224, 224, 3)
    assert sizes == [(224, 224)]


def test_the_strip_path_sees_what_the_whole_resize_would_have_kept() -> None:
    wanted = spec(16, 12)
    image = noise(1200, 17, seed=3)
    whole = torchvision_pixels(image, wanted).astype(int)
    assert image.width > MAX_ASPECT * image.height
    assert np.abs(preprocess(image, wanted).astype(int) - whole).max() <= 1

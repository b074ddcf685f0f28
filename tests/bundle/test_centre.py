from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from bundle.centre import resize_to_crop
from tests.pictures import noise

BOTH = st.sampled_from([Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])


def check(image: Image.Image, size: tuple[int, int], corners: tuple[int, int, int, int], how: Image.Resampling) -> None:
    expected = np.asarray(image.resize(size, how).crop(corners))
    np.testing.assert_array_equal(np.asarray(resize_to_crop(image, size, corners, how)), expected)


@settings(max_examples=400)
@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.sampled_from([1, 2, 8, 32, 64, 128, 256, 7, 100, 232]),
    st.floats(1, 4),
    st.booleans(),
    st.data(),
    BOTH,
)
def test_equals_the_whole_resize_bit_for_bit(
    width: int, height: int, short: int, aspect: float, upright: bool, data: st.DataObject, how: Image.Resampling
) -> None:
    size = (short, int(short * aspect)) if upright else (int(short * aspect), short)
    left, top = data.draw(st.integers(0, size[0] - 1)), data.draw(st.integers(0, size[1] - 1))
    right, bottom = data.draw(st.integers(left + 1, size[0])), data.draw(st.integers(top + 1, size[1]))
    check(noise(width, height, seed=width * 701 + height), size, (left, top, right, bottom), how)


@settings(max_examples=40)
@given(st.integers(700, 5000), st.integers(700, 5000), BOTH)
@example(4999, 5000, Image.Resampling.BICUBIC)
def test_equals_the_whole_resize_of_a_photograph(width: int, height: int, how: Image.Resampling) -> None:
    short = 256
    size = (short, short * height // width) if width <= height else (short * width // height, short)
    left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
    image = noise(97, 89).resize((width, height), Image.Resampling.NEAREST)
    check(image, size, (left, top, left + 224, top + 224), how)


@pytest.mark.parametrize(("width", "across"), [(65_535, 224), (65_536, 224), (65_537, 256), (100_003, 256)])
def test_a_side_too_long_for_exact_boxes_is_resized_whole(width: int, across: int, monkeypatch) -> None:
    image, seen = noise(width, 3), watch(monkeypatch)
    check(image, (256, 300), (16, 38, 240, 262), Image.Resampling.BILINEAR)
    assert seen[1] == ((width, 3), (across, 3))  # the first is the whole resize that it is compared with


def watch(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Every resize from now on: from which size to which."""
    seen = []
    original = Image.Image.resize

    def watched(self: Image.Image, size: tuple[int, int], *arguments: object, **options: object) -> Image.Image:
        seen.append((self.size, size))
        return original(self, size, *arguments, **options)

    monkeypatch.setattr(Image.Image, "resize", watched)
    return seen


def test_what_the_crop_throws_away_is_not_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    image, seen = noise(500, 375), watch(monkeypatch)
    resize_to_crop(image, (341, 256), (58, 16, 282, 240), Image.Resampling.BILINEAR)
    assert seen == [((500, 375), (341, 375)), ((224, 375), (224, 224))]
    seen.clear()
    resize_to_crop(image.rotate(90, expand=True), (256, 341), (16, 58, 240, 282), Image.Resampling.BILINEAR)
    assert seen == [((375, 500), (224, 500)), ((224, 500), (224, 341))]

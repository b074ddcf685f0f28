"""The preprocessing of the Android and iOS samples, by its Python port, and the three held together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bundle.image import decode
from bundle.manifest import Preprocess
from bundle.preprocess import preprocess
from export.phone_kit import pictures
from tests.phone import native_port as port
from tests.phone.decoded import opened
from tests.phone.statements import constants, functions, unclear_shifts
from tests.pictures import encode, noise

PHONE = Path(__file__).resolve().parents[2] / "phone"
SOURCES = {
    "kt": [PHONE / "android" / "src" / "main" / "kotlin" / "convoy" / f"{name}.kt" for name in ("Resample", "Picture")],
    "swift": [PHONE / "ios" / "Sources" / "Convoy" / f"{name}.swift" for name in ("Resample", "Picture")],
    "py": [Path(__file__).with_name("native_port.py")],
}
SPELLED_DIFFERENTLY = {"indices", "fixed", "doubles", "bytes", "value"}
"""How a language makes an array and reads a byte."""
TOLERANCE = {"over-16-megapixels.jpg": 2}
"""iOS decodes a large JPEG whole and averages it; all else is exact (docs/phone.md)."""


def source(language: str) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in SOURCES[language])


def ported(data: bytes, spec: Preprocess, *, samples_jpegs: bool = False) -> NDArray[np.uint8]:
    file = opened(data, samples_jpegs=samples_jpegs)
    picture = port.openPicture(file.rows, file.orientation, file.factor)
    return port.preprocess(picture, port.Preprocess(spec.resize, spec.crop, spec.interpolation))


def difference(data: bytes, spec: Preprocess, *, samples_jpegs: bool = False) -> int:
    expected = preprocess(decode(data), spec).ravel().astype(np.int16)
    return int(np.abs(ported(data, spec, samples_jpegs=samples_jpegs) - expected).max())


def spec_of(interpolation: str, resize: int, crop: int) -> Preprocess:
    return Preprocess(resize=resize, crop=crop, interpolation=interpolation, mean=(0, 0, 0), std=(1, 1, 1))


def test_the_conformance_kit_comes_out_as_recorded() -> None:
    spec = spec_of("bilinear", 256, 224)
    for name, data in pictures():
        assert difference(data, spec) <= TOLERANCE.get(name, 0), name
        if name in TOLERANCE:
            assert difference(data, spec, samples_jpegs=True) == 0, f"{name} on Android"


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_any_size_comes_out_as_in_python(interpolation: str) -> None:
    generator = np.random.default_rng(11)
    for number in range(40):
        width, height = (int(size) for size in generator.integers(1, 3 + 12 * number, 2))
        resize = int(generator.integers(4, 60))
        spec = spec_of(interpolation, resize, int(generator.integers(1, resize + 1)))
        assert difference(encode(noise(width, height, number)), spec) == 0, (width, height, spec)


def test_a_strip_comes_out_as_in_python() -> None:
    """Beyond an aspect ratio of 64, where only the crop's part is resized."""
    for size in ((3, 900), (900, 3), (1, 400), (700, 2)):
        for interpolation in ("bilinear", "bicubic"):
            assert difference(encode(noise(*size, 5)), spec_of(interpolation, 20, 17)) == 0, size


def test_the_constants_are_the_same() -> None:
    found = {language: constants(source(language), language) for language in SOURCES}
    assert found["kt"] == found["swift"] == found["py"]
    assert found["kt"]["HALF"] == 1 << 21
    assert len(found["kt"]) == 7


def test_kotlin_and_swift_are_the_same_statements() -> None:
    kotlin, swift = functions(source("kt"), "kt"), functions(source("swift"), "swift")
    assert list(kotlin) == list(swift)
    assert len(kotlin) > 25
    for name in set(kotlin) - SPELLED_DIFFERENTLY:
        assert kotlin[name] == swift[name], name


def test_the_port_is_the_same_statements() -> None:
    kotlin, python = functions(source("kt"), "kt"), functions(source("py"), "py")
    assert list(kotlin) == list(python)
    for name in set(kotlin) - SPELLED_DIFFERENTLY - port.KERNELS - {"clip"}:
        assert kotlin[name] == python[name], name


@pytest.mark.parametrize(
    ("good", "bad"),
    [("0.5", "0.4"), ("min(inSize", "max(inSize"), ("starts[index] = start", ""), ("(end - begin)", "end - begin")],
)
def test_a_statement_that_was_changed_in_one_of_them_is_noticed(good: str, bad: str) -> None:
    text = source("swift")
    assert good in text
    assert functions(text.replace(good, bad), "swift") != functions(text, "swift")


@pytest.mark.parametrize("language", ["kt", "swift"])
def test_no_shift_leans_on_the_languages_precedence(language: str) -> None:
    assert unclear_shifts(source(language)) == []


def test_a_shift_without_brackets_is_noticed() -> None:
    assert unclear_shifts("val x = a + b shr 8") != []
    assert unclear_shifts("let x = (a >> 8) + b >> 8") != []
    assert unclear_shifts("let x = ((a >> 8) + b) >> 8") == []

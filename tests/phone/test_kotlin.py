"""The Kotlin of phone/android itself, compiled and run where there is a compiler: kotlinc or CONVOY_KOTLINC."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bundle.image import decode
from bundle.manifest import Preprocess
from bundle.preprocess import preprocess
from export.phone_kit import pictures
from tests.phone.decoded import opened
from tests.phone.test_native import SOURCES, spec_of
from tests.pictures import encode, noise

KOTLIN = os.environ.get("CONVOY_KOTLINC") or shutil.which("kotlinc")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not KOTLIN, reason="no kotlinc here: name it by CONVOY_KOTLINC"),
    pytest.mark.skipif(not shutil.which("java"), reason="no java here"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples' pure sources and the harness, compiled to one jar with Kotlin's runtime."""
    jar = tmp_path_factory.mktemp("kotlin") / "harness.jar"
    sources = [*map(str, SOURCES["kt"]), str(Path(__file__).with_name("Harness.kt"))]
    subprocess.run([str(KOTLIN), *sources, "-include-runtime", "-d", str(jar)], check=True, timeout=300)
    return jar


def differences(program: Path, folder: Path, cases: list[tuple[bytes, Preprocess]]) -> list[int]:
    """The largest difference of a pixel, by case."""
    lines = []
    for number, (data, spec) in enumerate(cases):
        file = opened(data, samples_jpegs=True)
        rows = file.rows
        (folder / str(number)).write_bytes(rows.pixels.tobytes())
        numbers = (number, rows.width, rows.height, file.orientation, file.factor, spec.resize, spec.crop)
        lines.append(" ".join(map(str, numbers)) + f" {spec.interpolation}")
    (folder / "cases").write_text("\n".join(lines) + "\n")
    command = ["java", "-Xmx1g", "-cp", str(program), "HarnessKt", str(folder), "cases"]
    subprocess.run(command, check=True, timeout=300)
    found = []
    for number, (data, spec) in enumerate(cases):
        pixels = np.fromfile(folder / f"{number}.pixels", dtype=np.uint8).astype(np.int16)
        found.append(int(np.abs(pixels - preprocess(decode(data), spec).ravel()).max()))
    return found


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_kotlin_gives_pythons_pixels_of_the_kit(program: Path, tmp_path: Path, interpolation: str) -> None:
    cases = [(data, spec_of(interpolation, 256, 224)) for _, data in pictures()]
    assert differences(program, tmp_path, cases) == [0] * len(cases)


def test_the_kotlin_gives_pythons_pixels_of_any_size(program: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    cases = []
    for number in range(200):
        width, height = (int(size) for size in generator.integers(1, 3 + 3 * number, 2))
        resize = int(generator.integers(4, 60))
        spec = spec_of(("bilinear", "bicubic")[number % 2], resize, int(generator.integers(1, resize + 1)))
        cases.append((encode(noise(width, height, number)), spec))
    cases += [(encode(noise(*size, 5)), spec_of("bilinear", 20, 17)) for size in ((3, 900), (900, 3), (1, 400))]
    assert differences(program, tmp_path, cases) == [0] * len(cases)

"""Large pictures: bounded memory, and nothing changed for those that are not large."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.errors import TooCostly
from bundle.image import DecodeLimits, _to_rgb, decode
from bundle.large import LARGE_PIXELS, MAX_DECODE_BYTES, draft_size, in_strips, reduction
from tests.pictures import encode, noise

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 200_000_000

MEASURE = """
import sys
from bundle.image import DecodeLimits, decode
from bundle.errors import TooCostly
from bundle.manifest import Preprocess
from bundle.preprocess import preprocess
from tests.pictures import encode, noise
limits = DecodeLimits(max_bytes=10**9)
for format in ("PNG", "JPEG", "WEBP"):
    decode(encode(noise(64, 64), format), limits)
data = open(sys.argv[1], "rb").read()
before = int(open("/proc/self/statm").read().split()[1]) * 4096
open("/proc/self/clear_refs", "w").write("5")
try:
    preprocess(decode(data, limits), Preprocess(resize=256, crop=224, mean=(0, 0, 0), std=(1, 1, 1)))
    answer = "decoded"
except TooCostly:
    answer = "refused"
(peak,) = [int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(answer, peak - before)
"""


def picture(mode: str, width: int, height: int) -> Image.Image:
    small = noise(width // 16, height // 16, seed=1)
    image = small.resize((width, height), Image.Resampling.BILINEAR)
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) << 8)
    return image.convert(mode)


def measure(data: bytes, folder: Path) -> tuple[str, int]:
    (folder / "picture").write_bytes(data)
    command = [sys.executable, "-c", MEASURE, str(folder / "picture")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    answer, grown = result.stdout.split()
    return answer, int(grown)


ORIENTED = Image.Exif()
ORIENTED[0x0112] = 6
FORMS = [
    pytest.param("WEBP", "RGB", (4032, 3024), {"method": 0, "quality": 50}, "decoded", id="a phone's webp"),
    pytest.param("PNG", "RGBA", (4608, 3456), {"compress_level": 1, "exif": ORIENTED}, "decoded", id="turned rgba png"),
    pytest.param("JPEG", "RGB", (4608, 3456), {"progressive": True, "subsampling": 0}, "decoded", id="progressive"),
    pytest.param("WEBP", "RGBA", (4032, 3024), {"lossless": True, "method": 0}, "refused", id="lossless webp"),
    *(
        pytest.param(*form, marks=pytest.mark.slow)
        for form in [
            ("JPEG", "RGB", (8160, 6120), {}, "decoded"),
            ("JPEG", "CMYK", (8160, 6120), {}, "decoded"),
            ("JPEG", "RGB", (8160, 6120), {"progressive": True}, "decoded"),
            ("JPEG", "RGB", (8160, 6120), {"progressive": True, "subsampling": 0}, "refused"),
            ("PNG", "RGB", (7200, 6120), {"compress_level": 1}, "decoded"),
            ("PNG", "RGBA", (7200, 6120), {"compress_level": 1}, "decoded"),
            ("PNG", "RGB", (8160, 6120), {"compress_level": 1}, "refused"),
            ("PNG", "P", (8160, 6120), {"compress_level": 1}, "decoded"),
            ("PNG", "I;16", (8160, 6120), {"compress_level": 1}, "decoded"),
            ("GIF", "P", (8160, 6120), {}, "decoded"),
            ("WEBP", "RGB", (8160, 6120), {"method": 0}, "refused"),
        ]
    ),
]


@pytest.mark.parametrize(("format", "mode", "size", "options", "expected"), FORMS)
def test_one_decode_stays_below_200_mb(
    format: str, mode: str, size: tuple[int, int], options: dict, expected: str, tmp_path: Path
) -> None:
    answer, grown = measure(encode(picture(mode, *size), format, **options), tmp_path)
    print(f"{format} {mode} {size} {options}: {answer}, +{grown / 1e6:.0f} MB")
    assert answer == expected
    assert grown < LIMIT


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_strips_change_no_bit_of_a_picture_that_is_not_large(mode: str) -> None:
    image = picture(mode, 1216, 912)
    if mode == "RGBA":
        image.putalpha(picture("L", 1216, 912).rotate(90, expand=False))
    assert image.width * image.height > 512 * 1024
    assert in_strips(image, _to_rgb).tobytes() == _to_rgb(image).tobytes()


def test_only_large_pictures_are_reduced() -> None:
    assert reduction((4096, 4096)) == 1
    assert reduction((4097, 4096)) == 4
    assert draft_size((4096, 4096)) is None
    assert reduction((1, LARGE_PIXELS + 1)) == 2


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_large_picture_looks_the_same(format: str) -> None:
    whole = picture("RGB", 4320, 4000)
    reduced = decode(encode(whole, format))
    assert min(reduced.size) >= 1000
    small = [np.asarray(each.resize((64, 64), Image.Resampling.BOX), np.int16) for each in (whole, reduced)]
    difference = np.abs(small[0] - small[1])
    assert difference.mean() < 1.5
    assert difference.max() <= 12


def test_a_refusal_says_what_to_do() -> None:
    data = BytesIO()
    Image.new("RGB", (7000, 7000)).save(data, "WEBP", method=0, quality=1)
    with pytest.raises(TooCostly, match=r"a WEBP of 7000x7000 pixels \(RGB\) takes about \d+ MB .* or a JPEG"):
        decode(data.getvalue(), DecodeLimits())
    assert LIMIT > MAX_DECODE_BYTES

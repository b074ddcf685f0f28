"""100,000 damaged inputs for each of the three parsers: an answer or an error of ours, in time, every time."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from bundle.errors import ImageError
from bundle.image import DecodeLimits, decode
from service import oip
from service.errors import RequestError
from service.uploads import IMAGES, TOP_K, Field, ImageForm
from tests.pictures import encode, noise
from tests.service.test_oip import FORMS
from tests.service.test_uploads import BOUNDARY, END, part

INPUTS = int(os.environ.get("CONVOY_FUZZ_INPUTS", "100000"))
SLOWEST_SECONDS = 2.0

PIECES = [
    b"",
    b"\r\n",
    b"\r\n\r\n",
    b"--" + BOUNDARY,
    END,
    b"{",
    b"[",
    b"]}",
    b'"',
    b"\xff\xd8\xff",
    b"\x89PNG",
    b"RIFF",
]
PIECES += [b"\x00" * 8, b"\xff" * 8, b"Content-Disposition: ", b'name="images"', b"binary_data_size", b"-1", b"1e999"]


def mutated(seed: bytes, order: random.Random) -> bytes:
    """Bytes changed, pieces put in, stretches cut out or doubled."""
    body = bytearray(seed)
    for _ in range(order.choice((1, 1, 2, 4, 16))):
        where, kind = order.randrange(len(body) + 1), order.randrange(5)
        if kind == 0 and where < len(body):
            body[where] = order.randrange(256)
        elif kind == 1:
            body[where:where] = order.choice(PIECES)
        elif kind == 2:
            del body[where : where + order.randrange(1, 40)]
        elif kind == 3:
            body[where:where] = body[where : where + order.randrange(1, 40)]
        else:
            del body[where:]
    return bytes(body)


def fuzz(seeds: list[bytes], attempt: Callable[[bytes, random.Random], None]) -> None:
    order = random.Random(20261124)
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for number in range(INPUTS):
        data = mutated(seeds[number % len(seeds)], order)
        started = time.perf_counter()
        try:
            attempt(data, order)
            outcomes["accepted"] += 1
        except (RequestError, ImageError) as error:
            outcomes[type(error).__name__] += 1
        slowest = max(slowest, time.perf_counter() - started)
    print(f"{INPUTS} inputs, slowest {1000 * slowest:.0f} ms: {dict(outcomes)}")
    assert outcomes["accepted"]
    assert len(outcomes) > 1
    assert slowest < SLOWEST_SECONDS


def multipart(data: bytes, order: random.Random) -> None:
    form = ImageForm(BOUNDARY, {IMAGES: Field(500, 3), TOP_K: Field(64)})
    step = order.choice((1, 7, 64, 4096))
    for start in range(0, len(data), step):
        form.feed(data[start : start + step])
    form.close()
    assert all(len(image) <= 500 for image in form.many(IMAGES))


def protocol(data: bytes, order: random.Random) -> None:
    length = order.choice((None, None, data.rfind(b"}") + 1, order.randrange(len(data) + 2)))
    call = oip.parse(data, length, (8, 8, 3), 64)
    assert 1 <= len(call.sources) <= 64


def raw(data: bytes, _: random.Random) -> None:
    assert decode(data, DecodeLimits(max_bytes=100_000, max_pixels=1_000_000)).mode == "RGB"


@pytest.mark.slow
def test_multipart() -> None:
    seeds = [
        part("images", b"content") + part("top_k", b"3") + END,
        part("images", b"a" * 300, b"Content-Type: image/png\r\n") + part("images", b"") + part("x", b"y") + END,
    ]
    fuzz(seeds, multipart)


@pytest.mark.slow
def test_the_open_inference_protocol() -> None:
    fuzz([form["content"] for form in FORMS.values()], protocol)


@pytest.mark.slow
def test_raw_bodies() -> None:
    formats = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
    seeds = [encode(noise(16, 12, seed), format) for seed, format in enumerate(formats)]
    seeds.append(encode(noise(16, 12), "JPEG", progressive=True))
    fuzz(seeds, raw)

"""Requests that broke servers, each with the statuses that a sound service may answer. Never a 5xx.

Made here, from the standard library alone; a list of files of one's own comes with `--hostile`.
"""

from __future__ import annotations

import csv
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from load_tests.errors import ListInvalid
from load_tests.outcome import Case
from load_tests.target import batch_path, predict_path

KIND = "hostile"
RAW = {"Content-Type": "application/octet-stream"}
_BOUNDARY = "hostile-boundary"
_FORM = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG that claims so many grey pixels, whatever it has; its checksums are right."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(pixels)) if pixels else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def gif(width: int, height: int) -> bytes:
    """A GIF of 35 bytes that claims so many pixels."""
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02L\x01\0;"


def form(field: str, data: bytes, name: str = "a.png", kind: str = "image/png") -> bytes:
    """A form with one file."""
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
    return f"{head}Content-Type: {kind}\r\n\r\n".encode() + data + f"\r\n--{_BOUNDARY}--\r\n".encode()


def hostile_cases(good: bytes, model: str) -> list[Case]:
    """Every hostile request. `good` is a sound picture that some are made of."""
    path = predict_path(model)
    sound = png(8, 8, b"".join(b"\0" + bytes(range(8)) for _ in range(8)))
    half = png(64, 64, b"\0" * 65 * 8)
    raw = [
        ("nothing", b"", (400,)),
        ("text", b"this is not a picture, it is text\n" * 8, (415,)),
        ("html", b"<!doctype html><script>alert(1)</script>", (415,)),
        ("an address", b"http://169.254.169.254/latest/meta-data/", (415,)),
        ("zeros", bytes(4096), (415,)),
        ("first half of a picture", good[: len(good) // 2], (200, 400, 415, 422)),
        ("picture and then noise", good + b"\xff" * 1000, (200, 400, 422)),
        ("PNG without its rows", half, (200, 400, 422)),
        ("PNG of 3.6 gigapixels", png(60000, 60000, b"\0"), (400, 413)),
        ("PNG of no pixels", png(0, 0, b"\0"), (400, 415, 422)),
        ("PNG of one row", png(1, 60000, b"\0"), (200, 400, 413, 422)),
        ("GIF of 4.3 gigapixels", gif(65535, 65535), (400, 413)),
        ("only a JPEG's first bytes", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", (400, 415, 422)),
        (
            "SVG with an entity",
            b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg/>',
            (415,),
        ),
    ]
    forms = [
        ("form without the field", form("picture", sound), (400,)),
        ("form with an address", form("image", b"http://127.0.0.1/x.png"), (415,)),
        ("form of an empty file", form("image", b""), (400,)),
        ("form that ends early", form("image", sound)[:-40], (400, 408)),
        ("form with a wrong type", form("image", sound, "../../etc/passwd", "image/jpg"), (200,)),
    ]
    cases = [Case(KIND, path, RAW, body, statuses, name=name) for name, body, statuses in raw]
    cases += [Case(KIND, path, _FORM, body, statuses, name=name) for name, body, statuses in forms]
    return [
        *cases,
        Case(KIND, f"{path}?top_k=-1", RAW, good, (400,), name="top_k below one"),
        Case(KIND, "/predict?model=%00", RAW, good, (404, 400), name="a model that is not there"),
        Case(KIND, batch_path(model), RAW, good, (400,), name="a batch without a form"),
        Case(KIND, "/%2e%2e/%2e%2e/etc/passwd", RAW, good, (404, 405), name="a path out of the service"),
    ]


def listed_cases(path: Path, model: str) -> Iterator[Case]:
    """From a CSV with the columns `file` (beside the list) and `status` (one or several, such as `413 400`).

    Raises: ListInvalid.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeError, csv.Error) as error:
        raise ListInvalid(path, str(error)) from error
    if not rows or not {"file", "status"} <= set(rows[0]):
        raise ListInvalid(path, "a CSV with the columns file and status was expected")
    for number, row in enumerate(rows, start=2):
        try:
            statuses = tuple(int(status) for status in row["status"].split())
            body = (path.parent / row["file"]).read_bytes()
        except (ValueError, OSError, AttributeError, TypeError) as error:
            raise ListInvalid(path, f"line {number}: {error}") from error
        if not statuses or any(status >= 500 for status in statuses):
            raise ListInvalid(path, f"line {number}: no status below 500")
        yield Case(KIND, predict_path(model), RAW, body, statuses, name=row["file"])

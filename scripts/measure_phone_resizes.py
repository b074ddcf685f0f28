"""Measure what a phone's own ways of making a picture small cost in accuracy, in docs/measured/phone_resizes.json.

    .venv/bin/python scripts/measure_phone_resizes.py PICTURES.csv BUNDLE...

A bundle has both ONNX files; the CSV has the columns file (beside it) and class_index. The ways are written here as
the platforms document them, on Pillow's decoded pixels: no phone takes part. One more row keeps the resize and decodes
the JPEG otherwise, by simplejpeg (`pip install simplejpeg`).
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from phone_sections import put, resize_section
from PIL import Image

from bundle.classify import Classifier
from bundle.image import decode
from bundle.manifest import Preprocess
from bundle.preprocess import preprocess, resized_size
from export.accuracy import paired_interval

OUT: Final = Path(__file__).resolve().parent.parent / "docs" / "measured" / "phone_resizes.json"
FILES: Final = {"fp32": "onnx", "int8": "onnx-int8"}
ROUGHLY: Final = "exact, of a rougher JPEG decoder"
Pixels = NDArray[np.uint8]
Resize = Callable[[Image.Image, tuple[int, int]], Image.Image]
Way = Callable[[Image.Image, Preprocess], Pixels]


def two_by_two(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Bilinear between the four nearest pixels however small the result: no antialiasing.

    Bitmap.createScaledBitmap(…, filter = true) and the sampler of GPUs without mipmaps.
    """
    pixels = np.asarray(image, dtype=np.float32)
    for axis, count in ((0, size[1]), (1, size[0])):
        length = pixels.shape[axis]
        at = np.clip((np.arange(count) + 0.5) * (length / count) - 0.5, 0, length - 1)
        before = np.floor(at).astype(int)
        after = np.minimum(before + 1, length - 1)
        share = (at - before).astype(np.float32).reshape([-1 if axis == each else 1 for each in range(3)])
        pixels = np.take(pixels, before, axis) * (1 - share) + np.take(pixels, after, axis) * share
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def by_filter(resampling: Image.Resampling) -> Resize:
    """One of Pillow's antialiased filters."""
    return lambda image, size: image.resize(size, resampling)


def cropped(resize: Resize) -> Way:
    """Short side, then centre, like the reference, by another resize."""

    def way(image: Image.Image, spec: Preprocess) -> Pixels:
        width, height = resized_size(image.size, spec.resize)
        left, top = round((width - spec.crop) / 2), round((height - spec.crop) / 2)
        small = resize(image, (width, height)).crop((left, top, left + spec.crop, top + spec.crop))
        return np.array(small, dtype=np.uint8)

    return way


def squeezed(image: Image.Image, spec: Preprocess) -> Pixels:
    """The whole picture in the network's square, as many a sample app does."""
    return np.array(two_by_two(image, (spec.crop, spec.crop)), dtype=np.uint8)


def unturned(image: Image.Image, spec: Preprocess) -> Pixels:
    """A portrait as a reader without EXIF sees it: lying on its side."""
    return preprocess(image.transpose(Image.Transpose.ROTATE_90), spec)


def roughly_decoded(data: bytes) -> Image.Image:
    """A JPEG whose colours are repeated instead of interpolated and whose transform is the fast, inexact one.

    libjpeg-turbo's own shortcuts: about as far as a decoder may be from Pillow's.
    """
    import simplejpeg

    rough = Image.fromarray(simplejpeg.decode_jpeg(data, "RGB", fastdct=True, fastupsample=True))
    turned = BytesIO()
    with Image.open(BytesIO(data)) as original:
        rough.save(turned, "PNG", exif=original.getexif(), compress_level=0)
    return decode(turned.getvalue())


WAYS: Final[dict[str, Way]] = {
    "exact": preprocess,
    "bilinear without antialias": cropped(two_by_two),
    "nearest pixel": cropped(by_filter(Image.Resampling.NEAREST)),
    "Lanczos": cropped(by_filter(Image.Resampling.LANCZOS)),
    "area average": cropped(by_filter(Image.Resampling.BOX)),
    "squeezed to a square": squeezed,
    "EXIF ignored": unturned,
}


def measure(table: Path, bundle: Path) -> dict[str, Any]:
    """One network's record in docs/measured/phone_resizes.json."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    truth = np.array([int(row["class_index"]) for row in rows])
    classifiers = {precision: Classifier(bundle, target) for precision, target in FILES.items()}
    spec = classifiers["fp32"].bundle.manifest.preprocess
    pixels: dict[str, list[Pixels]] = {name: [] for name in (*WAYS, ROUGHLY)}
    for row in rows:
        data = (table.parent / row["file"]).read_bytes()
        image = decode(data)
        for name, way in WAYS.items():
            pixels[name].append(way(image, spec))
        pixels[ROUGHLY].append(preprocess(roughly_decoded(data), spec))
    answers = {
        precision: {name: answered(classifier, tensors) for name, tensors in pixels.items()}
        for precision, classifier in classifiers.items()
    }
    return {
        "bundle": classifiers["fp32"].bundle.id,
        "network": classifiers["fp32"].bundle.manifest.architecture.name,
        "pictures": len(rows),
        "ways": {
            name: {
                "mean_pixel_difference": mean_difference(pixels[name], pixels["exact"]),
                **{precision: cost(found[name], found["exact"], truth) for precision, found in answers.items()},
            }
            for name in pixels
        },
    }


def answered(classifier: Classifier, tensors: list[Pixels]) -> NDArray[np.int64]:
    """The first class of every picture."""
    return np.array([classifier.session.run(tensor[np.newaxis])[0].argmax() for tensor in tensors])


def mean_difference(found: list[Pixels], expected: list[Pixels]) -> float:
    """Of a channel of a pixel, in steps of 8 bits."""
    each = [np.abs(a.astype(np.int16) - b).mean() for a, b in zip(found, expected, strict=True)]
    return float(np.mean(each))


def cost(found: NDArray[np.int64], exact: NDArray[np.int64], truth: NDArray[np.int64]) -> dict[str, Any]:
    """Against the exact resize, by the same file: changed answers, right ones lost and won, the paired gain."""
    right, reference = found == truth, exact == truth
    lost, won = int((reference & ~right).sum()), int((right & ~reference).sum())
    low, high = paired_interval(won, lost, len(truth))
    return {
        "right": int(right.sum()),
        "changed": int((found != exact).sum()),
        "lost": lost,
        "won": won,
        "gain": (won - lost) / len(truth),
        "gain_95": [low, high],
    }


def main() -> None:
    """Measure, and write the record and the section of docs/phone.md."""
    table, *bundles = map(Path, sys.argv[1:])
    records = [measure(table, bundle) for bundle in bundles]
    OUT.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    put("resizes", resize_section(records))


if __name__ == "__main__":
    main()

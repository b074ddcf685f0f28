"""Some pictures of every class on one sheet: a wrong label is seen sooner than it is measured."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from models.samples import Sample, T, map_in_order
from models.survey import Survey

TILE, GAP, MARGIN = 96, 6, 24
LABEL_WIDTH, HEAD = 190, 64
ACROSS, MAX_ROWS = 10, 60
"""Pictures in a row; rows. With more classes than rows, classes are left out evenly."""

_PAPER, _INK, _MUTE, _LINE = (255, 255, 255), (28, 36, 48), (93, 104, 117), (226, 230, 235)
_SMALL = 48
"""Pictures below this many pixels are enlarged without smoothing: one wants to see their pixels."""


def contact_sheet(survey: Survey, across: int = ACROSS) -> Image.Image:
    """RGB: a row per class with its name, its counts and up to `across` of its pictures, evenly spread."""
    rows = _rows(survey)
    width = 2 * MARGIN + LABEL_WIDTH + across * (TILE + GAP) - GAP
    sheet = Image.new("RGB", (width, HEAD + len(rows) * (TILE + 2 * GAP) + MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _head(draw, survey, len(rows))
    for number, (name, counts, samples) in enumerate(rows):
        top = HEAD + number * (TILE + 2 * GAP)
        draw.line((MARGIN, top - GAP, width - MARGIN, top - GAP), fill=_LINE)
        _label(draw, top, name, counts)
        for place, tile in enumerate(map_in_order(_tile, _spread_evenly(samples, across))):
            sheet.paste(tile, (MARGIN + LABEL_WIDTH + place * (TILE + GAP), top))
    return sheet


Row = tuple[str, list[str], list[Sample]]
"""A class's name, its counts in words, its readable pictures."""


def _rows(survey: Survey) -> list[Row]:
    labels: Sequence[int | None] = range(len(survey.classes)) if survey.classes else [None]
    return [_row(survey, label) for label in _spread_evenly(labels, MAX_ROWS)]


def _row(survey: Survey, label: int | None) -> Row:
    members = {part.name: [sample for sample in part.good if sample.label == label] for part in survey.parts}
    counts = [f"{name} {len(found)}" for name, found in members.items()]
    name = "no labels" if label is None else survey.classes[label]
    return name, counts, [sample for found in members.values() for sample in found]


def _spread_evenly(items: Sequence[T], count: int) -> list[T]:
    """Up to `count` items, the first and the last among them."""
    picked = min(count, len(items))
    return [items[round(step * (len(items) - 1) / max(1, picked - 1))] for step in range(picked)]


def _tile(sample: Sample) -> Image.Image:
    image = sample.image()
    method = Image.Resampling.NEAREST if min(image.size) <= _SMALL else Image.Resampling.BICUBIC
    return ImageOps.fit(image, (TILE, TILE), method)


def _head(draw: ImageDraw.ImageDraw, survey: Survey, rows: int) -> None:
    draw.text((MARGIN, 14), survey.path.name or str(survey.path), fill=_INK, font=_font(20))
    left_out = len(survey.classes) - rows
    shown = f", {left_out} not shown" if survey.classes and left_out else ""
    line = f"{survey.kind}: {survey.pictures:,} pictures in {len(survey.classes)} classes{shown}"
    draw.text((MARGIN, 38), line, fill=_MUTE, font=_font(13))


def _label(draw: ImageDraw.ImageDraw, top: int, name: str, counts: Sequence[str]) -> None:
    font = _font(15)
    while name and draw.textlength(name, font) > LABEL_WIDTH - 2 * GAP:
        name = name.removesuffix("…")[:-1] + "…"
    draw.text((MARGIN, top + 4), name, fill=_INK, font=font)
    for number, count in enumerate(counts):
        draw.text((MARGIN, top + 26 + 17 * number), count, fill=_MUTE, font=_font(13))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)

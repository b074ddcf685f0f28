"""The folder that `convoy look` writes: one PNG per view, and a page with all of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from PIL import Image

from bundle.folder import MANIFEST, write_folder
from models.amounts import times
from models.look import Look
from models.paint import data_uri, filter_sheet, map_sheet, overlay
from models.report import render

PAGE = "look.html"


def write_look(look: Look, out: Path, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write the folder `out`; returns its files. Raises: TargetExists, NotReplaceable, CannotWrite."""
    views = {
        "picture": look.picture,
        "cam": overlay(look.picture, look.heat),
        "filters": filter_sheet(look.filters),
        **{_file_name(index, maps.layer): map_sheet(maps.values) for index, maps in enumerate(look.maps, start=1)},
    }
    with write_folder(out, "look", overwrite=overwrite) as partial:
        for name, image in views.items():
            image.save(partial / f"{name}.png", optimize=True)
        (partial / PAGE).write_text(render_look(look, views), encoding="utf-8")
        # What lets --overwrite replace this folder and no other.
        (partial / MANIFEST).write_text(json.dumps({"kind": "look", "architecture": look.subject.entry.name}) + "\n")
    return (PAGE, *(f"{name}.png" for name in views))


def render_look(look: Look, views: dict[str, Image.Image]) -> str:
    """Self-contained HTML with the views inside."""
    return render(
        "look.html",
        title=f"{look.subject.entry.title} looks at a picture",
        look=look,
        target=look.subject.labels[look.target],
        heat_size=times(look.heat.shape),
        filters=times(look.filters.shape),
        views={name: data_uri(image) for name, image in views.items()},
        widths={name: image.width for name, image in views.items()},
        maps=[
            (maps, times(maps.values.shape[1:]), _file_name(index, maps.layer))
            for index, maps in enumerate(look.maps, start=1)
        ],
    )


def _file_name(index: int, layer: str) -> str:
    return f"maps_{index:02d}_{re.sub(r'[^A-Za-z0-9]+', '_', layer)}"

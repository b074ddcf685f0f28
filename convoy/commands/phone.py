from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from convoy.commands.options import BundlePath, Json, Overwrite
from convoy.console import grid, next_step, print_text

if TYPE_CHECKING:
    from export.phone_page import Part, Written


def phone(
    bundle: BundlePath,
    out: Annotated[Path, typer.Option(help="The folder to write, ready to host.")],
    page: Annotated[
        Optional[Path], typer.Option(help="A build of phone/web. Default: the one that `make phone` made.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a web page that classifies on the phone itself, offline too, from a bundle with an ONNX file."""
    from export.phone_page import BUILT, write_page

    written = write_page(bundle, out, built=page or BUILT, overwrite=overwrite)
    if json:
        print_text(_json(out, written))
        return
    grid(("", "bytes>", "transferred>"), (_row(part) for part in (*written.parts, *written.first_loads)))
    next_step(f"CONVOY_PHONE={out} convoy serve {bundle}   or host {out} anywhere under HTTPS")


def _row(part: Part) -> tuple[str, str, str]:
    return part.name, f"{part.bytes:,}", f"{part.transferred:,}"


def _json(out: Path, written: Written) -> str:
    from json import dumps

    return dumps({"folder": str(out), **asdict(written)}, indent=2, ensure_ascii=False)

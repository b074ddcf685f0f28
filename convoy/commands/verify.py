from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from convoy.commands.options import BundlePath, Json
from convoy.console import show


def verify(
    bundle: BundlePath,
    data: Annotated[Optional[Path], typer.Option(help="Labelled pictures: measure the accuracy too.")] = None,
    json: Json = False,
) -> None:
    """Check a bundle: every checksum, the golden answers, and with --data the accuracy."""
    from export.verify import verify as check

    show([(line.what, line.result) for line in check(bundle, data)], as_json=json)

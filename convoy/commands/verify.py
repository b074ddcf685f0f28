from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Optional

import typer

from convoy.commands.options import BundlePath, Json
from convoy.console import show


def verify(
    bundle: BundlePath,
    data: Annotated[
        Optional[Path], typer.Option(help="Labelled pictures, whatever train takes: measure the accuracy too.")
    ] = None,
    json: Json = False,
) -> None:
    """Check a bundle: every checksum, the golden answers, and with --data the accuracy."""
    from export.verify import verify as check

    checks = check(bundle, data)
    record = {"bundle": str(bundle), "checks": [asdict(one) for one in checks]}
    show([(one.what, one.result) for one in checks], record, as_json=json)

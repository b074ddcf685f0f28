"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it exists.")]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle folder written by `convoy export`.")]
Arch = Annotated[str, typer.Option("--arch", help="The architecture, such as mobilenet_v2.")]

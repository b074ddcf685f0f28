from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from convoy.console import err


def serve(
    models: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="A bundle folder, or a folder of NAME/VERSION/ bundles.")
    ],
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
    host: Annotated[str, typer.Option(help="0.0.0.0 to be reached from other machines.")] = "127.0.0.1",
) -> None:
    """Serve bundles over HTTP with BentoML. Settings are CONVOY_… variables (docs/serve.md)."""
    from service import run

    run.check(models, host, port)
    err.print(f"http://{host}:{port}  (POST an image to /predict; Ctrl-C stops)")
    command = run.command(host, port)
    # The server takes this process's place: signals and the exit code are its own.
    os.execve(command[0], command, run.environment(models))

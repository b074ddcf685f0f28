"""The service as a container's only process: `python -m service.container`.

`bentoml serve` puts a supervisor over its worker. In a container that one would stay alive over a dead worker, need
its own memory, and import everything twice before the first answer. Here the worker is the container: when it dies
the container ends, and whoever runs it starts another.
"""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Mapping
from types import FrameType


def _leave(_: int, __: FrameType | None) -> None:
    sys.exit(0)


def address(environment: Mapping[str, str]) -> tuple[str, int]:
    """Host and port, by the variables that `bentoml serve` has for them. Raises: SystemExit, with one line."""
    text = environment.get("BENTOML_PORT") or "3000"
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65535):
        raise SystemExit(f"BENTOML_PORT: expected 1 to 65535, got {text[:40]!r}")
    return environment.get("BENTOML_HOST") or "0.0.0.0", int(text)


def main() -> None:
    """Serve until SIGTERM; exit 0 then."""
    # As process 1 there is no default for SIGTERM. The server puts its own handler before this one while it runs, and
    # raises the signal again when it has finished.
    signal.signal(signal.SIGTERM, _leave)
    host, port = address(os.environ)
    import uvicorn

    from bundle.errors import ConvoyError
    from service.app import Convoy
    from service.settings import KEPT_SECONDS, read_settings

    try:
        settings = read_settings()
    except ConvoyError as error:
        raise SystemExit(str(error)) from error
    config = uvicorn.Config(
        Convoy.to_asgi(),  # type: ignore[attr-defined]
        host=host,
        port=port,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEPT_SECONDS,
        # What was begun when the door closed: an upload and its answer.
        timeout_graceful_shutdown=math.ceil(2 * settings.timeout),
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()

"""Whether the service of this container is ready, as an exit status: `python -m service.healthy`."""

from __future__ import annotations

import os
import sys
from urllib.error import URLError
from urllib.request import urlopen


def main() -> int:
    """0 when /readyz says yes."""
    try:
        host = "[::1]" if ":" in os.environ.get("BENTOML_HOST", "") else "127.0.0.1"
        with urlopen(f"http://{host}:{os.environ.get('BENTOML_PORT') or 3000}/readyz", timeout=2) as answer:
            return int(answer.status != 200)
    except (URLError, OSError):
        return 1


if __name__ == "__main__":
    sys.exit(main())

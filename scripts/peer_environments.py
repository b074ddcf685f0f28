"""An environment of its own for each framework that the service is compared with."""

from __future__ import annotations

import json
import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "load_tests" / "peers"
ENVIRONMENTS = ROOT / ".venv-peers"


class EnvironmentFailed(Exception):
    """pip's last line."""


def make(framework: str, folder: Path = ENVIRONMENTS) -> Path:
    """The python of `folder`/`framework`, with exactly its requirements.txt; made anew only when that has changed.

    Raises: EnvironmentFailed.
    """
    requirements = PEERS / framework / "requirements.txt"
    home = folder / framework
    python, made = home / "bin" / "python", home / "requirements.txt"
    if made.is_file() and made.read_bytes() == requirements.read_bytes():
        return python
    venv.create(home, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    result = subprocess.run([*pip, "-r", str(requirements)], capture_output=True, text=True)
    if result.returncode:
        raise EnvironmentFailed(f"{framework}: pip: {last_line(result.stderr)}")
    made.write_bytes(requirements.read_bytes())
    return python


def versions(python: Path) -> dict[str, str]:
    """What is installed there, by name."""
    command = [str(python), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {row["name"].lower(): row["version"] for row in json.loads(listed)}


def last_line(text: str) -> str:
    """The last line with something in it."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")

"""The environment beside ours that LiteRT's converter lives in: where its Python is, and how a script runs in it.

LiteRT's pins and a serving framework's do not fit into one environment. What crosses the border are files and JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

from export.errors import EnvironmentMissing, without_folders

SETTING: Final = "CONVOY_LITERT_PYTHON"
_ROOT: Final = Path(__file__).resolve().parent.parent
DEFAULT: Final = _ROOT / ".venv-litert" / "bin" / "python"


class ScriptFailed(RuntimeError):
    """A script ended with an error, whose last line this is."""


def python() -> Path | None:
    """The environment's interpreter, None where there is none."""
    given = os.environ.get(SETTING)
    path = Path(given) if given else DEFAULT
    return path if path.is_file() and os.access(path, os.X_OK) else None


def command(target: str, script: str) -> list[str]:
    """What starts `export/SCRIPT.py` there, closed to our own packages. Raises: EnvironmentMissing."""
    interpreter = python()
    if interpreter is None:
        raise EnvironmentMissing(target, SETTING, os.environ.get(SETTING))
    return [str(interpreter), "-I", str(_ROOT / "export" / f"{script}.py")]


def run_script(target: str, script: str, **order: object) -> dict[str, Any]:
    """Run a script to its end: the order is a JSON object on standard input, the answer the last line it prints.

    Raises: EnvironmentMissing, ScriptFailed.
    """
    done = subprocess.run(
        command(target, script), input=json.dumps(order, default=str), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ScriptFailed(without_folders(last_line(done.stderr)) or f"{script} ended with {done.returncode}")
    answer: dict[str, Any] = json.loads(last_line(done.stdout))
    return answer


def last_line(text: str) -> str:
    """The last line that is not empty, or nothing."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")

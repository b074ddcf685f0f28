"""Where a checkpoint or a bundle comes from."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path


def git_revision() -> str | None:
    """The commit of the code that runs, with `-dirty` when it was changed; None outside a git checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None


def tool_versions(*packages: str) -> dict[str, str]:
    """Installed versions by package name."""
    return {package: version(package) for package in packages}

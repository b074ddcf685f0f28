"""Write constraints.txt and service/requirements.txt from the packages installed in this environment.

Run it after an upgrade: `.venv/bin/python scripts/pin.py`. Names and versions only: which index they come from
is the installer's business.
"""

from __future__ import annotations

from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
NOT_PINNED = {"convoy", "pip", "setuptools", "wheel"}


def installed() -> dict[str, Distribution]:
    """Every distribution of this environment by its canonical name."""
    return {canonicalize_name(found.metadata["Name"]): found for found in distributions()}


def closure(extra: str) -> set[str]:
    """Everything that `convoy[extra]` needs, directly or not, on this machine."""
    needed: set[str] = set()
    waiting = [("convoy", frozenset({extra, ""}))]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        for text in distribution(name).requires or ():
            requirement = Requirement(text)
            if requirement.marker and not any(requirement.marker.evaluate({"extra": one}) for one in extras | {""}):
                continue
            child = canonicalize_name(requirement.name)
            needed.add(child)
            waiting.append((child, frozenset(requirement.extras | {""})))
    return needed


def lines(names: set[str]) -> str:
    """`name==version`, sorted, without a local version such as +cpu."""
    found = installed()
    return "".join(f"{name}=={found[name].version.split('+')[0]}\n" for name in sorted(names))


def main() -> None:
    everything = set(installed()) - NOT_PINNED
    (ROOT / "constraints.txt").write_text(
        "# Exact versions of everything `make install` installs. Written by scripts/pin.py.\n" + lines(everything)
    )
    (ROOT / "service/requirements.txt").write_text(
        "# What the service needs in a container, pinned. Written by scripts/pin.py.\n"
        + lines(closure("serve") - NOT_PINNED)
    )


if __name__ == "__main__":
    main()

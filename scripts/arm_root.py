"""A small arm64 folder to run Python in on another processor, by QEMU's user-mode emulation.

Debian's packages are unpacked, not installed, and wheels for arm64 are laid beside them: nothing in it has run before
the first Python, and neither making nor entering it takes root's rights where Linux gives user namespaces.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bundle.errors import ConvoyError

ROOT = Path(__file__).resolve().parent.parent
SUITE = "bookworm"
PYTHON = "3.11"
"""The suite's own."""
PACKAGES = (
    "libbz2-1.0",
    "libc6",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libsqlite3-0",
    "libssl3",
    "libstdc++6",
    "libuuid1",
    "python3.11-minimal",
    "zlib1g",
)
"""What Python and the wheels load; debootstrap fetches more than these."""
LIBRARIES = ("numpy", "onnxruntime", "pillow", "pydantic")
"""What `bundle` and its onnxruntime session import."""
WHEELS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
"""What the suite's C library is new enough for, of what the wheels are offered as."""
RECORD = "arm-root.json"
EMULATOR = "qemu-aarch64-static"
TOOLS = ("debootstrap", "dpkg-deb", EMULATOR)
# Debian keeps what administrators run out of other users' PATH.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


class CannotEmulate(ConvoyError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"Arm cannot be emulated here: {reason}")


class StepFailed(ConvoyError):
    """A program that was called ended with an error."""

    def __init__(self, step: str, said: str) -> None:
        super().__init__(f"{step} failed: {_last_line(said)}")


class NotAnArmRoot(ConvoyError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: not made by this script, so it is left alone: choose another --root")


def check_tools() -> None:
    """Raises: CannotEmulate with everything that is missing."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise CannotEmulate(f"this is {platform.system()} on {platform.machine()}, Linux on x86_64 is needed")
    enter = "chroot" if os.geteuid() == 0 else "unshare"
    missing = [name for name in (*TOOLS, enter) if shutil.which(name, path=PATH) is None]
    missing += ["pip"] if find_spec("pip") is None else []
    if missing:
        raise CannotEmulate(f"not found: {', '.join(missing)} (Debian's packages debootstrap and qemu-user-static)")


def default_root() -> Path:
    """Below the user's folder for caches."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "convoy" / "arm64"


def recipe() -> dict[str, Any]:
    """What a folder is made of; another recipe makes another folder. The libraries' versions are those of this Python.

    Call check_tools first.
    """
    emulator = _call("the emulator", [EMULATOR, "--version"]).splitlines()[0]
    return {
        "suite": SUITE,
        "emulator": emulator,
        "packages": list(PACKAGES),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def arm_root(path: Path) -> Path:
    """The folder, made if it is not there or was made from another recipe. It appears whole or not at all.

    Raises: CannotEmulate, NotAnArmRoot, StepFailed.
    """
    check_tools()
    wanted = recipe()
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(path):
        if _made_from(path) == wanted:
            return path
        if path.exists() and _made_from(path) is None:
            raise NotAnArmRoot(path)
        partial = path.with_name(f".{path.name}.partial")
        _remove(partial)  # of a run that was stopped
        partial.mkdir()
        (partial / RECORD).write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
        _fill(partial, wanted["libraries"])
        _remove(path)
        partial.rename(path)
    return path


def run(root: Path, cpu: str, arguments: list[str], modules: str) -> None:
    """Python with `arguments` on the processor `cpu` (a name of QEMU's), `modules` on its path; paths as seen inside.

    It sees none of this machine's folders: with its /sys onnxruntime 1.32 counts x86's cores and dies.
    Raises: StepFailed.
    """
    inside = root / "root"
    enter = ["chroot", str(inside)] if os.geteuid() == 0 else ["unshare", "--map-root-user", f"--root={inside}"]
    command = [*enter, "/emulator", "-cpu", cpu, f"/usr/bin/python{PYTHON}", *arguments]
    _call(f"Python on {cpu}", command, {"PYTHONPATH": f"/libraries:{modules}"})


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """A second run waits until the first has made the folder."""
    with path.with_name(f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _made_from(path: Path) -> dict[str, Any] | None:
    """The recipe of a folder of ours; None for any other, and where there is none."""
    try:
        found = json.loads((path / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _remove(path: Path) -> None:
    """Raises: NotAnArmRoot rather than remove what another has made."""
    if not path.exists():
        return
    if not (path / RECORD).is_file() and any(path.iterdir()):
        raise NotAnArmRoot(path)
    shutil.rmtree(path)


def _fill(folder: Path, libraries: Mapping[str, str]) -> None:
    """Fetch, unpack, and lay the wheels and the emulator beside."""
    fetched, inside = folder / "fetched", folder / "root"
    options = ["--download-only", "--arch=arm64", "--variant=minbase", f"--include=python{PYTHON}"]
    _call("debootstrap", ["debootstrap", *options, SUITE, str(fetched)])
    inside.mkdir()
    for name in PACKAGES:
        archives = list((fetched / "var/cache/apt/archives").glob(f"{name}_*.deb"))
        if len(archives) != 1:
            raise StepFailed("debootstrap", f"{len(archives)} packages {name} in {SUITE}")
        _call("dpkg-deb", ["dpkg-deb", "--extract", str(archives[0]), str(inside)])
    shutil.rmtree(fetched)
    _call("pip", [sys.executable, "-m", "pip", *_install(libraries, inside / "libraries")])
    shutil.copy(str(shutil.which(EMULATOR, path=PATH)), inside / "emulator")


def _install(libraries: Mapping[str, str], target: Path) -> list[str]:
    """pip's arguments: wheels of another processor and Python, as pinned as ours."""
    platforms = [f"--platform={name}_aarch64" for name in WHEELS]
    chosen = [f"{name}=={release}" for name, release in libraries.items()]
    return [
        *("install", "--quiet", "--disable-pip-version-check", "--no-compile", "--only-binary=:all:"),
        *(f"--python-version={PYTHON}", f"--constraint={ROOT / 'constraints.txt'}", f"--target={target}"),
        *platforms,
        *chosen,
    ]


def _call(step: str, command: list[str], environment: Mapping[str, str] | None = None) -> str:
    """Returns what the program printed. Raises: StepFailed."""
    program = str(shutil.which(command[0], path=PATH))
    given = {**os.environ, "PATH": PATH} if environment is None else dict(environment)
    found = subprocess.run([program, *command[1:]], env=given, capture_output=True, text=True)
    if found.returncode:
        raise StepFailed(step, found.stderr or found.stdout or f"exit code {found.returncode}")
    return found.stdout


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"

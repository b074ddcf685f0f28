"""Build the container's image, with a bundle inside or without, and say what is in it.

    .venv/bin/python -m scripts.image --bundle bundles/photos --tag convoy:dev

With docker, podman or buildah, whichever answers first. Writes build/image/image.json and the bill of materials
build/image/sbom.cdx.json, and fails when the image is too large or holds what a service does not need.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from bundle.errors import ConvoyError
from bundle.folder import open_bundle
from scripts.container_engine import Build, Engine, Secret, call, find_engine
from scripts.image_archive import ImageArchive, read_archive
from scripts.sbom import bill

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "image"
BASE = "python:3.11-slim-bookworm"
GPU_BASE = "nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04"
GPU_ONNXRUNTIME = "onnxruntime-gpu==1.31.1"
"""The newest that there is: it trails onnxruntime by a release. For CUDA 13 and cuDNN 9."""
GPU = {"BASE": GPU_BASE, "ONNXRUNTIME": GPU_ONNXRUNTIME, "BATCHING": "auto"}
MOST_BYTES = 450_000_000

UNWANTED = {
    "torch": re.compile(r"(^|/)(torch|torchvision|lightning|triton)(/|-[0-9])"),
    "nvidia": re.compile(
        r"(^|/)(nvidia[^/]*/|pynvml|libcuda|libcudnn|libcublas|libonnxruntime_providers_(cuda|tensorrt))"
    ),
    "compilers": re.compile(r"(^|/)bin/([a-z0-9_]+-linux-gnu-)?(gcc|cc|g\+\+|c\+\+|ld|as|make|cmake)(-[0-9.]+)?$"),
    "git": re.compile(r"(^|/)bin/git$|(^|/)\.git(/|$)"),
    "caches of pip": re.compile(r"(^|/)\.cache/pip/|(^|/)pip\.conf$"),
}
"""Paths that no layer of the image may show, the base's included."""


class ImageUnfit(ConvoyError):
    def __init__(self, faults: list[str]) -> None:
        super().__init__("the image is not fit: " + "; ".join(faults))


def revision() -> str:
    """The commit, marked where files differ from it; empty outside of a clone."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--match=", "--dirty"]
    result = subprocess.run(git, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""


def commit_time() -> str:
    """When the commit was made: the same sources give the same labels."""
    git = ["git", "-C", str(ROOT), "log", "-1", "--format=%cI"]
    result = subprocess.run(git, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""


def version() -> str:
    """The project's."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def labels(bundle: Path | None, source: str) -> dict[str, str]:
    """By the OCI image specification's annotation keys, and the bundle's id. Raises: FolderError."""
    opened = open_bundle(bundle) if bundle else None
    values = {
        "title": f"convoy {opened.manifest.name} {opened.manifest.version}" if opened else "convoy",
        "version": version(),
        "revision": revision(),
        "source": source,
        "created": commit_time(),
        "licenses": "Apache-2.0",
    }
    found = {f"org.opencontainers.image.{name}": value for name, value in values.items() if value}
    return found | ({"convoy.bundle": opened.id} if opened else {})


def build(engine: Engine, options: argparse.Namespace) -> None:
    """Package the service and the bundle, and build the image. Raises: FolderError, EngineFailed."""
    given = {"pip": options.pip_config, "ca": options.ca}
    secrets = tuple(Secret(name, path.resolve()) for name, path in given.items() if path)
    bundle = options.bundle.resolve() if options.bundle else None
    with tempfile.TemporaryDirectory() as store:
        # A store of its own: BentoML's keeps every Bento that was ever built.
        os.environ["BENTOML_HOME"] = store
        from service.package import package

        _, folder = package(bundle)
        arguments = GPU if options.gpu else {}
        engine.build(Build(folder, options.tag, arguments, labels(bundle, options.source), secrets))


def look(engine: Engine, tag: str, base: str) -> tuple[ImageArchive, str]:
    """The image's files and its id. Raises: EngineFailed."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        engine.save(tag, archive)
        image = read_archive(archive, engine.layers(base))
    return image, identity(engine, tag)


def identity(engine: Engine, tag: str) -> str:
    """The image's own id, `sha256:…`."""
    if engine.name == "buildah":
        text = call(["buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", tag]).strip()
    else:
        text = call([engine.name, "image", "inspect", "--format", "{{.Id}}", tag]).strip()
    return "sha256:" + text.removeprefix("sha256:")


def hosts(pip_config: Path | None) -> set[str]:
    """The names of the indexes that pip was told of: none of them may be found in the image."""
    parser = ConfigParser(interpolation=None)
    parser.read(pip_config or [])
    texts = [value for section in parser.sections() for value in parser[section].values()]
    texts += [os.environ.get(name, "") for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")]
    found = {host.rpartition("@")[2] for text in texts for host in re.findall(r"https?://([^/\s]+)", text)}
    # pip's own default is in many packages' descriptions. In a process of its own: whoever has imported pip can import
    # setuptools no more.
    ask = "from pip._internal.models.index import PyPI; print(PyPI.netloc)"
    own = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    return found - {own}


def faults(image: ImageArchive, indexes: set[str], *, gpu: bool) -> list[str]:
    """What is wrong with it, in words."""
    wrong = [
        f"{name}: {found[0]}" for name, found in unwanted(image).items() if found and not (gpu and name == "nvidia")
    ]
    settings = image.config["config"]
    if not re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", settings.get("User", "")):
        wrong.append(f"the user is {settings.get('User') or 'root'}, not a number")
    if total := max(0, image.size(base=True) + image.size(base=False) - MOST_BYTES):
        wrong += [] if gpu else [f"{total / 1e6:.0f} MB above {MOST_BYTES / 1e6:.0f} MB"]
    unreadable = [path for path, file in image.own() if not file.mode & 0o004]
    wrong += [f"only its owner reads {path}" for path in unreadable[:1]]
    for host in indexes:
        told = [path for path, _ in image.own() if host.encode() in image.texts.get(path, b"")]
        told += ["its settings"] if host in json.dumps(image.config) else []
        wrong += [f"an index's address is in {told[0]}"] if told else []
    return wrong


def mislabelled(found: dict[str, str], bundle: Path | None) -> list[str]:
    """A label that tells of another bundle or another commit than this image's. Raises: FolderError."""
    expected = labels(bundle, "")
    names = ("convoy.bundle", "org.opencontainers.image.revision", "org.opencontainers.image.version")
    wrong = [name for name in names if found.get(name) != expected.get(name)]
    return [f"its label {name} is {found.get(name)}, not {expected.get(name)}" for name in wrong]


def unwanted(image: ImageArchive) -> dict[str, list[str]]:
    """Paths by why nobody wants them."""
    return {name: [path for path in image.files if pattern.search(path)] for name, pattern in UNWANTED.items()}


def report(image: ImageArchive, image_id: str, tag: str, engine: Engine, base: str) -> dict[str, Any]:
    """Sizes in bytes, and settings."""
    parts: dict[str, int] = {}
    for path, file in image.own():
        name = path.split("/")[1] if path.startswith("app/") else "other"
        if name == "packages":
            name = f"packages/{path.split('/')[2].partition('-')[0].removesuffix('.libs').lower()}"
        parts[name] = parts.get(name, 0) + file.bytes
    settings = image.config["config"]
    return {
        "tag": tag,
        "id": image_id,
        "engine": engine.name,
        "base": base,
        "base_bytes": image.size(base=True),
        "own_bytes": image.size(base=False),
        "total_bytes": image.size(base=True) + image.size(base=False),
        "own_parts": dict(sorted(parts.items(), key=lambda part: -part[1])[:12]),
        "layers": len(image.layers),
        "base_layers": image.base_layers,
        "user": settings["User"],
        "labels": dict(sorted((settings.get("Labels") or {}).items())),
        "unwanted_files": {name: len(found) for name, found in unwanted(image).items()},
    }


def table(record: dict[str, Any]) -> str:
    """Sizes as Markdown."""
    rows = [("base", record["base_bytes"]), *((name, size) for name, size in record["own_parts"].items())]
    rows += [("rest", record["own_bytes"] - sum(record["own_parts"].values())), ("all", record["total_bytes"])]
    return "\n".join(["| part | MB |", "|---|---|", *(f"| {name} | {size / 1e6:.1f} |" for name, size in rows)])


def parser(about: str | None) -> argparse.ArgumentParser:
    """The command line, which scripts.deploy_test adds to."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="without, the image takes its bundle from CONVOY_MODELS")
    parser.add_argument("--tag", default="convoy:dev")
    parser.add_argument("--engine", default="", help="docker, podman or buildah; the first that answers")
    parser.add_argument("--source", default="", help="the repository's address, for the image's labels")
    parser.add_argument("--pip-config", type=Path, help="pip.conf for the build alone, as for a private index")
    parser.add_argument("--ca", type=Path, help="certificates for the build alone, at /run/secrets/ca.crt")
    parser.add_argument("--gpu", action="store_true", help="CUDA's base and onnxruntime-gpu")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser


def main() -> None:
    """Build, look, write, judge."""
    options = parser(__doc__).parse_args()
    try:
        record = make(options)
    except ConvoyError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1 if isinstance(error, ImageUnfit) else 2) from error
    print(f"{record['tag']} by {record['engine']}; SBOM and image.json in {options.out}")


def make(options: argparse.Namespace) -> dict[str, Any]:
    """Raises: ConvoyError of every kind above."""
    engine = find_engine(options.engine)
    build(engine, options)
    return inspect(options, engine)


def inspect(options: argparse.Namespace, engine: Engine) -> dict[str, Any]:
    """Look into the image, write what is in it, and judge. Raises: EngineFailed, ImageUnfit."""
    base = GPU_BASE if options.gpu else BASE
    image, image_id = look(engine, options.tag, base)
    record = report(image, image_id, options.tag, engine, base)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "image.json").write_text(json.dumps(record, indent=2) + "\n")
    (options.out / "sbom.cdx.json").write_text(json.dumps(bill(image, image_id), indent=1) + "\n")
    print(table(record))
    wrong = faults(image, hosts(options.pip_config), gpu=options.gpu)
    wrong += mislabelled(record["labels"], options.bundle)
    if wrong:
        raise ImageUnfit(wrong)
    return record


if __name__ == "__main__":
    main()

"""A bundle as a web page for phones: the built page, the bundle's files and a conformance kit in one folder.

The folder is what a web server hosts; its manifest.json (kind `phone`) lists every file with its sizes, and is the list
of what `service/phone.py` serves.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bundle.folder import MANIFEST, MANIFEST_CHECKSUM, Folder, open_bundle, refuse_existing, sha256_of, write_folder
from bundle.golden import check_golden
from bundle.manifest import LABELS, Artefact, BundleManifest
from bundle.onnx_session import OnnxSession
from export.errors import PageNotBuilt, PageTakesNoSuchBundle
from export.phone_kit import write_kit

BUILT: Final = Path(__file__).resolve().parent.parent / "phone" / "web" / "dist"
TARGETS: Final = ("onnx", "onnx-int8")
"""What onnxruntime-web runs."""
ENCODINGS: Final = ("br", "gz")
_WORTH_PACKING = 0.97
_PACKED_ALREADY = {".png", ".jpg", ".webp", ".gif", ".tif", ".br", ".gz"}


@dataclass(frozen=True)
class Hosted:
    """A file of the folder: its bytes, and those of its precompressed neighbours (`PATH.br`, `PATH.gz`)."""

    path: str
    bytes: int
    sha256: str
    encodings: dict[str, int]

    @property
    def transferred(self) -> int:
        """Bytes on the wire to a browser that takes every encoding."""
        return min([self.bytes, *self.encodings.values()])


@dataclass(frozen=True)
class Part:
    """A line of the size table: bytes as they are, and as they are transferred."""

    name: str
    bytes: int
    transferred: int


@dataclass(frozen=True)
class Written:
    """What `write_page` wrote. `first_loads`: by target, what a phone fetches before it works offline."""

    bundle: str
    files: tuple[Hosted, ...]
    parts: tuple[Part, ...]
    first_loads: tuple[Part, ...]
    pictures: int


def write_page(bundle: Path, out: Path, *, built: Path = BUILT, overwrite: bool = False) -> Written:
    """Write the folder, whole or not at all, after the bundle's checksums and golden answers came out right.

    Raises: PageNotBuilt, PageTakesNoSuchBundle, FolderError, GoldenMismatch, ArtefactInvalid.
    """
    if not (built / "index.html").is_file():
        raise PageNotBuilt(built)
    refuse_existing(out.absolute(), "phone", overwrite=overwrite)
    opened = open_bundle(bundle)
    runs = _proven(opened, bundle)
    with write_folder(out, "phone", overwrite=overwrite) as root:
        shutil.copytree(built, root, dirs_exist_ok=True)
        _copy_bundle(opened, root / "bundle", list(runs))
        pictures = write_kit(
            root / "conformance", opened.manifest.preprocess, {target: session.run for target, session in runs.items()}
        )
        for folder in ("bundle", "conformance"):
            _pack(root / folder)
        files = hosted(root)
        record = {"kind": "phone", "bundle": opened.id, "files": [asdict(file) for file in files]}
        (root / MANIFEST).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    parts = _parts(opened.manifest, files)
    return Written(opened.id, tuple(files), tuple(parts), tuple(_first_loads(opened.manifest, parts)), pictures)


def hosted(root: Path) -> list[Hosted]:
    """Every file below `root`, with its precompressed neighbours, by name."""
    found = []
    for path in sorted(path for path in root.rglob("*") if path.is_file() and path.suffix not in (".br", ".gz")):
        neighbours = {name: path.with_name(f"{path.name}.{name}") for name in ENCODINGS}
        sizes = {name: file.stat().st_size for name, file in neighbours.items() if file.is_file()}
        relative = path.relative_to(root).as_posix()
        found.append(Hosted(relative, path.stat().st_size, sha256_of(path), sizes))
    return found


def _proven(opened: Folder[BundleManifest], bundle: Path) -> dict[str, OnnxSession]:
    """The sessions of what a browser can run, each proven on the golden pictures."""
    artefacts = [artefact for artefact in opened.manifest.artefacts if artefact.target in TARGETS]
    if not artefacts:
        raise PageTakesNoSuchBundle(bundle, [artefact.target for artefact in opened.manifest.artefacts])
    sessions = {artefact.target: OnnxSession(opened.path(artefact), artefact) for artefact in artefacts}
    for artefact in artefacts:
        check_golden(opened, artefact, sessions[artefact.target].run)
    return sessions


def _copy_bundle(opened: Folder[BundleManifest], root: Path, targets: list[str]) -> None:
    """The manifest, the labels, the golden pictures and the runnable files; a phone needs no other artefact."""
    wanted = [MANIFEST, MANIFEST_CHECKSUM, LABELS]
    for golden in opened.manifest.golden:
        wanted += [golden.image.path, golden.tensor.path, golden.probabilities.path]
    for artefact in (opened.manifest.artefact(target) for target in targets):
        wanted += [artefact.path, *([artefact.golden.path] if artefact.golden else [])]
    for path in wanted:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(opened.root / path, root / path)


def _pack(root: Path) -> None:
    """A .gz beside every file that becomes smaller by it; the page's own files were packed by its build."""
    for path in [path for path in root.rglob("*") if path.is_file() and path.suffix not in _PACKED_ALREADY]:
        data = path.read_bytes()
        packed = gzip.compress(data, 9, mtime=0)
        if len(packed) <= _WORTH_PACKING * len(data):
            path.with_name(f"{path.name}.gz").write_bytes(packed)


def _part(name: str, files: Iterable[Hosted]) -> Part:
    chosen = list(files)
    return Part(name, sum(file.bytes for file in chosen), sum(file.transferred for file in chosen))


def _parts(manifest: BundleManifest, files: list[Hosted]) -> list[Part]:
    """The size table: the page, the two runtimes, what describes the bundle, each model, the conformance kit."""
    models = {f"bundle/{artefact.path}": artefact for artefact in manifest.artefacts}
    inside = [file for file in files if file.path.startswith("bundle/")]
    kit = [file for file in files if file.path.startswith("conformance/")]
    runtimes = [file for file in files if file.path.endswith(".wasm")]
    page = [file for file in files if file not in inside and file not in kit and file not in runtimes]
    return [
        _part("page", page),
        _part("runtime (WebAssembly)", (file for file in runtimes if "asyncify" not in file.path)),
        _part("runtime (WebGPU)", (file for file in runtimes if "asyncify" in file.path)),
        _part("manifest and golden picture", _first_of(manifest, inside)),
        *(_part(_model(models[file.path]), [file]) for file in inside if file.path in models),
        _part("conformance kit", kit),
    ]


def _first_of(manifest: BundleManifest, inside: list[Hosted]) -> list[Hosted]:
    """What the page reads of the bundle beside the model: its manifest, and the picture that proves the runtime."""
    golden = manifest.golden[0]
    wanted = {f"bundle/{path}" for path in (MANIFEST, golden.tensor.path, golden.probabilities.path)}
    wanted |= {f"bundle/{artefact.golden.path}" for artefact in manifest.artefacts if artefact.golden}
    return [file for file in inside if file.path in wanted]


def _model(artefact: Artefact) -> str:
    return f"model ({artefact.precision})"


def _first_loads(manifest: BundleManifest, parts: list[Part]) -> list[Part]:
    """What a first visit transfers, by model: without a runtime, and with the WebAssembly one."""
    by_name = {part.name: part for part in parts}
    loads = []
    for artefact in (artefact for artefact in manifest.artefacts if artefact.target in TARGETS):
        names = ["page", "manifest and golden picture", _model(artefact)]
        for suffix, chosen in (("", names), (" with the runtime", [*names, "runtime (WebAssembly)"])):
            summed = [by_name[name] for name in chosen]
            sizes = sum(part.bytes for part in summed), sum(part.transferred for part in summed)
            loads.append(Part(f"first load, {artefact.precision}{suffix}", *sizes))
    return loads

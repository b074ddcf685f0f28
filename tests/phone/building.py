"""A stand-in for the built page, for tests that need no browser."""

from __future__ import annotations

import gzip
from pathlib import Path

RUNTIME = b"\0asm" + bytes(5000)


def write_build(root: Path) -> Path:
    """index.html, a script, a runtime that is packed both ways, and an icon."""
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_text("<!doctype html><title>page</title>")
    (root / "sw.js").write_text("/* nothing */")
    (root / "app.webmanifest").write_text("{}")
    (root / "assets" / "runtime-1.mjs").write_text("export {}")
    (root / "assets" / "ort-1.wasm").write_bytes(RUNTIME)
    (root / "assets" / "ort-1.wasm.br").write_bytes(b"packed")
    (root / "assets" / "ort-1.wasm.gz").write_bytes(gzip.compress(RUNTIME, mtime=0))
    return root

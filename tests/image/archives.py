"""Images as archives, made without an engine."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

SETTINGS = {"User": "10001:10001", "Labels": {"org.opencontainers.image.title": "convoy", "convoy.bundle": ""}}


def layer(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    """One layer's archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def diff_id(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_image(path: Path, layers: list[bytes], settings: dict[str, Any] | None = None) -> list[str]:
    """What `docker save` would write; returns the layers' ids."""
    ids = [diff_id(data) for data in layers]
    config = {"created": "2026-01-02T03:04:05.678Z", "config": settings or SETTINGS, "rootfs": {"diff_ids": ids}}
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": ["convoy:dev"], "Layers": names}]
    documents = {"manifest.json": json.dumps(manifest).encode(), "config.json": json.dumps(config).encode()}
    path.write_bytes(layer({**dict(zip(names, layers, strict=True)), **documents}))
    return ids

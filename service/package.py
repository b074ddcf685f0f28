"""The service and a bundle as one Bento, ready for `bentoml serve` and `bentoml containerize`."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

import yaml

from bundle.folder import open_bundle
from service.run import ROOT
from service.settings import PACKED_BUNDLE

BENTOFILE = ROOT / "bentofile.yaml"


def package(bundle: Path) -> tuple[str, Path]:
    """Build a Bento from bentofile.yaml with `bundle` inside; returns its tag and folder. Raises: FolderError."""
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    import bentoml

    opened = open_bundle(bundle)
    options = yaml.safe_load(BENTOFILE.read_text(encoding="utf-8"))
    manifest = opened.manifest
    labels = {**options["labels"], "model": manifest.name, "model_version": manifest.version, "bundle": opened.id}
    with tempfile.TemporaryDirectory() as context:
        for folder in ("service", "bundle"):
            shutil.copytree(ROOT / folder, Path(context) / folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(bundle, Path(context) / PACKED_BUNDLE.name)
        bento = bentoml.build(
            options["service"],
            name=bento_name(manifest.name),
            labels=labels,
            include=[*options["include"], f"{PACKED_BUNDLE.name}/**"],
            python=options["python"],
            docker=options["docker"],
            build_ctx=context,
        )
    return str(bento.tag), Path(bento.path)


def bento_name(name: str) -> str:
    """BentoML takes lower case letters, digits, `-`, `_` and `.`."""
    return "convoy-" + re.sub(r"[^a-z0-9._-]", "-", name.lower())

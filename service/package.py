"""The service and a bundle as one Bento, ready for `bentoml serve` and `bentoml containerize`."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

import yaml

from bundle.folder import MANIFEST, MANIFEST_CHECKSUM, Folder, open_bundle
from bundle.manifest import BundleManifest
from service.run import ROOT
from service.settings import PACKED_BUNDLE

BENTOFILE = ROOT / "bentofile.yaml"


def package(bundle: Path | None) -> tuple[str, Path]:
    """Build a Bento from bentofile.yaml; returns its tag and folder. Raises: FolderError.

    With None there is no bundle inside: the service takes it from CONVOY_MODELS.
    """
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    import bentoml

    options = yaml.safe_load(BENTOFILE.read_text(encoding="utf-8"))
    labels, name = options["labels"], options["name"]
    # Whole: the working directory changes below.
    opened = open_bundle(bundle.resolve()) if bundle else None
    if opened:
        manifest = opened.manifest
        labels |= {"model": manifest.name, "model_version": manifest.version, "bundle": opened.id}
        name = bento_name(manifest.name)
    # BentoML refuses files outside of the working directory.
    with tempfile.TemporaryDirectory() as context, contextlib.chdir(context):
        for folder in ("service", "bundle"):
            shutil.copytree(ROOT / folder, Path(context) / folder, ignore=shutil.ignore_patterns("__pycache__"))
        if opened:
            _copy_bundle(opened, Path(context) / PACKED_BUNDLE.name)
        template = Path(context) / options["docker"]["dockerfile_template"]
        template.parent.mkdir(parents=True)
        shutil.copyfile(ROOT / options["docker"]["dockerfile_template"], template)
        bento = bentoml.build(
            options["service"],
            name=name,
            labels=labels,
            include=[*options["include"], f"{PACKED_BUNDLE.name}/**"],
            python=options["python"],
            docker=options["docker"],
            build_ctx=context,
        )
    return str(bento.tag), Path(bento.path)


def _copy_bundle(bundle: Folder[BundleManifest], target: Path) -> None:
    """Only what the manifest answers for: a link beside it may lead anywhere."""
    for path in (MANIFEST, MANIFEST_CHECKSUM, *(record.path for record in bundle.manifest.files())):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.root / path, target / path)


def bento_name(name: str) -> str:
    """BentoML takes 63 lower case letters, digits, `-`, `_` and `.`, the last a letter or digit."""
    return ("convoy-" + re.sub(r"[^a-z0-9._-]", "-", name.lower()))[:63].rstrip("._-")

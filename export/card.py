"""MODEL_CARD.md and report.html of a bundle."""

from __future__ import annotations

from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from bundle.manifest import BundleManifest

CARD, REPORT = "MODEL_CARD.md", "report.html"


def _render(template: str, manifest: BundleManifest, *, escape: bool) -> str:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("export"), PackageLoader("models")]),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(manifest=manifest, title=f"{manifest.name} {manifest.version}")


def write_card(root: Path, manifest: BundleManifest) -> str:
    """The model card with Hugging Face front matter; returns its name."""
    (root / CARD).write_text(_render("MODEL_CARD.md", manifest, escape=False), encoding="utf-8")
    return CARD


def write_report(root: Path, manifest: BundleManifest) -> str:
    """The bundle on one self-contained page; returns its name."""
    (root / REPORT).write_text(_render("bundle.html", manifest, escape=True), encoding="utf-8")
    return REPORT

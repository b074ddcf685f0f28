"""MODEL_CARD.md and report.html of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from bundle.manifest import BundleManifest
from export.benchmark import Benchmark
from export.latency_plot import plot_of

CARD, REPORT = "MODEL_CARD.md", "report.html"


def render(template: str, *, escape: bool, **values: Any) -> str:
    """A template of this room or of `models`, filled in."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("export"), PackageLoader("models")]),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)


def write_card(root: Path, manifest: BundleManifest) -> str:
    """The model card with Hugging Face front matter; returns its name."""
    (root / CARD).write_text(render("MODEL_CARD.md", escape=False, manifest=manifest), encoding="utf-8")
    return CARD


def write_report(root: Path, manifest: BundleManifest, found: Benchmark | None = None) -> str:
    """The bundle on one self-contained page, with its benchmark where there is one; returns its name."""
    title = f"{manifest.name} {manifest.version}"
    plot = plot_of(found) if found else None
    page = render("bundle.html", escape=True, manifest=manifest, title=title, found=found, plot=plot)
    (root / REPORT).write_text(page, encoding="utf-8")
    return REPORT

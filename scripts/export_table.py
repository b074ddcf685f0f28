"""Print what the exports of some bundles kept, as the Markdown table of docs/performance.md.

    .venv/bin/python scripts/export_table.py BUNDLE...

Every figure is read from the manifests, none is typed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bundle.folder import open_bundle
from bundle.manifest import Artefact, BundleManifest, Quantization
from export.errors import without_folders

HEAD = (
    "| network | target | top-1 (PyTorch) | agreement | MB | ms, 1 thread | int8 against fp32 | how |",
    "|---|---|---|---|---|---|---|---|",
)


def row(manifest: BundleManifest, artefact: Artefact) -> str:
    """One artefact."""
    parity, accuracy, int8 = artefact.parity, artefact.accuracy, artefact.quantization
    n = accuracy.n if accuracy else 0
    cells = (
        manifest.architecture.name,
        f"`{artefact.target}`",
        f"{round(accuracy.top1 * n)} ({round(accuracy.reference_top1 * n)}) of {n}" if accuracy else "-",
        f"{100 * parity.top1_agreement:.1f} %" if parity else "unverified",
        f"{artefact.bytes / 1e6:.1f}",
        f"{artefact.latency.p50_ms:.1f}" if artefact.latency else "-",
        f"{int8.speed_up:.2f}x as fast, {int8.size_ratio:.2f} of the size" if int8 else "",
        _how(int8) if int8 else "",
    )
    return f"| {' | '.join(cells)} |"


def _how(int8: Quantization) -> str:
    """What passed, and the training behind it."""
    tuned = int8.fine_tuning
    steps = f" ({tuned.steps} steps over {tuned.pictures.n} pictures)" if tuned else ""
    return f"rung {len(int8.rungs)}: {int8.method}{steps}"


def refused(manifest: BundleManifest) -> list[str]:
    """What was not published, with every rung's figure."""
    lines = []
    for refusal in manifest.refused:
        tried = "; ".join(f"{rung.name}: {without_folders(rung.reason)}" for rung in refusal.rungs) or refusal.reason
        lines.append(f"| {manifest.architecture.name} | `{refusal.target}` | refused | | | | | {tried} |")
    return lines


def main() -> None:
    """A table of all bundles given."""
    print("\n".join(HEAD))
    for path in sys.argv[1:]:
        manifest = open_bundle(Path(path)).manifest
        print("\n".join([*(row(manifest, artefact) for artefact in manifest.artefacts), *refused(manifest)]))


if __name__ == "__main__":
    main()

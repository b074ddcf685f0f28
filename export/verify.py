"""Is this bundle intact, and does it still answer as it did when it was exported?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bundle.errors import ManifestInvalid
from bundle.folder import Folder, open_bundle
from bundle.manifest import LABELS, Artefact, BundleManifest
from export.accuracy import Gate
from export.errors import AccuracyFailed
from export.runners import open_artefact, replay_golden, run_all
from models.data import read_evaluation_pictures


@dataclass(frozen=True)
class Check:
    """One line of the report; `value` is its figure: files, labels, a largest difference, a share."""

    what: str
    result: str
    value: float | None = None


def verify(path: Path, data: Path | None = None) -> list[Check]:
    """Checksums, labels, golden answers; with `data` also accuracy. Raises: FolderError or GateFailed."""
    bundle = open_bundle(path)
    manifest = bundle.manifest
    files = list(manifest.files())
    size = sum(file.bytes for file in files)
    checks = [Check("bundle", bundle.id), Check("checksums", f"{len(files)} files, {size / 1e6:.1f} MB", len(files))]
    _check_labels(bundle)
    checks.append(Check("labels", f"{len(manifest.labels)} in {LABELS} as in the manifest", len(manifest.labels)))
    for target, difference in replay_golden(bundle).items():
        result = f"{len(manifest.golden)} pictures, difference {difference:.1e}"
        checks.append(Check(f"golden {target}", result, difference))
    checks += [_recorded(artefact) for artefact in manifest.artefacts]
    return checks + (_accuracy(bundle, data) if data else [])


def _recorded(artefact: Artefact) -> Check:
    """What the export measured."""
    parity = artefact.parity
    if parity is None:
        return Check(f"parity {artefact.target}", f"UNVERIFIED: {artefact.unverified}")
    allowed = "no limit" if parity.tolerance is None else f"allowed {parity.tolerance:.0e}"
    return Check(
        f"parity {artefact.target}",
        f"recorded at export: {parity.max_abs_difference:.1e} ({allowed}), "
        f"top-1 agreement {parity.top1_agreement:.2%} of {parity.n} (at least {parity.min_top1_agreement:.0%})",
        parity.max_abs_difference,
    )


def _check_labels(bundle: Folder[BundleManifest]) -> None:
    expected = "".join(f"{label}\n" for label in bundle.manifest.labels)
    if (bundle.root / LABELS).read_bytes() != expected.encode():
        raise ManifestInvalid(bundle.root / LABELS, "the lines are not the manifest's labels")


def _accuracy(bundle: Folder[BundleManifest], data: Path) -> list[Check]:
    manifest = bundle.manifest
    pictures = read_evaluation_pictures(data, manifest.labels)
    if not pictures.labelled:
        return [Check("accuracy", f"not measured: the {len(pictures.samples)} pictures carry no labels")]
    labels = np.array([sample.label for sample in pictures.samples])
    checks = []
    recorded = manifest.metrics
    same = recorded is not None and recorded.dataset_fingerprint == pictures.fingerprint
    for artefact in manifest.artefacts:
        if artefact.unverified is not None:
            checks.append(Check(f"accuracy {artefact.target}", f"UNVERIFIED: {artefact.unverified}"))
            continue
        run = open_artefact(bundle.root, artefact)
        top1 = float((run_all(run, pictures.batches(manifest.preprocess)).argmax(1) == labels).mean())
        checks.append(Check(f"accuracy {artefact.target}", f"top-1 {top1:.4f} of {len(labels)} pictures", top1))
        gate = Gate() if artefact.accuracy is None else Gate(artefact.accuracy.max_drop)
        if same and recorded is not None and not gate.allows(top1, recorded.top1):
            raise AccuracyFailed(artefact.target, top1, recorded.top1, 1 - gate.max_drop)
    return checks

"""Is the exported file still the same classifier? The same pixels through both, compared."""

from __future__ import annotations

import numpy as np

from bundle.manifest import Parity
from export.errors import ParityFailed
from export.runners import Probabilities
from export.targets import Target


def compare(target: Target, found: Probabilities, reference: Probabilities) -> Parity:
    """The parity record of float32 [n, K] against the reference. Raises: ParityFailed with the measured figure."""
    if found.shape != reference.shape:
        raise ParityFailed(target.name, f"shape {found.shape}, expected {reference.shape}")
    if not np.isfinite(found).all():
        raise ParityFailed(target.name, f"{np.count_nonzero(~np.isfinite(found))} values are not finite")
    difference = float(np.abs(found - reference).max())
    agreement = agreement_of(found, reference)
    if target.tolerance is not None and difference > target.tolerance:
        raise ParityFailed(
            target.name,
            f"a probability differs by {difference:.2g} (allowed {target.tolerance:.2g}), "
            f"top-1 agrees on {agreement:.1%} of {len(found)} pictures",
        )
    if agreement < target.min_top1_agreement:
        raise ParityFailed(
            target.name,
            f"top-1 agrees on {agreement:.1%} of {len(found)} pictures (at least {target.min_top1_agreement:.1%})",
        )
    return Parity(
        n=len(found),
        max_abs_difference=difference,
        tolerance=target.tolerance,
        top1_agreement=agreement,
        min_top1_agreement=target.min_top1_agreement,
    )


def agreement_of(found: Probabilities, reference: Probabilities) -> float:
    """The share of rows with the same first class."""
    return float((found.argmax(1) == reference.argmax(1)).mean())

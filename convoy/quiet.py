"""Keeps the libraries' own chatter off the command line; their warnings about real trouble stay."""

from __future__ import annotations

import logging
import warnings


def quiet_training() -> None:
    """Lightning announces devices, tips and its own internals once per run."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*isinstance\\(treespec, LeafSpec\\).*",
        ".*does not have many workers.*",
        ".*The number of training batches.*",
        ".*Checkpoint directory .* exists.*",
        ".*You are using `torch.load`.*",
    ):
        warnings.filterwarnings("ignore", message=message)

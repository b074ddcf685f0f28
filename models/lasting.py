"""Training state on disk: written beside the old one, flushed, then put into its place by one rename.

Lightning's own writer leaves the flush out and makes the temporary file where it likes, which need not be the same
disk. A kill at any moment leaves the old state or the new one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from bundle.errors import CannotWrite


class LastingCheckpointIO(TorchCheckpointIO):
    """Lightning's plugin for reading and writing its checkpoints. Nothing is unpickled beyond tensors and numbers."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ARG002
        """Raises: CannotWrite; the previous state is still there then."""
        target = Path(path)
        partial = target.with_name(target.name + ".partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        except (OSError, RuntimeError) as error:  # torch's writer says RuntimeError when the disk is full
            partial.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise CannotWrite(target, reason) from error

    def load_checkpoint(
        self,
        path: Any,
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        state: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        return state

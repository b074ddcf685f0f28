from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.registry import build


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a MobileNetV3-Small for ten classes to transfer from, random as they are."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "mobilenet.pth"
    torch.save(build("mobilenet_v3_small", 10).state_dict(), path)
    return path

"""What of the script for a CUDA card can be tested without one."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

SCRIPT = Path(__file__).parents[1] / "scripts" / "benchmark_gpu.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_gpu", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(module, "limits", dict)
    return module


def test_a_batch_that_does_not_fit_leaves_what_was_measured(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(name: str, batch: int, folder: Path) -> list[dict[str, object]]:
        if batch == 8:
            raise torch.cuda.OutOfMemoryError
        return [{"network": name, "batch": batch}]

    out = tmp_path / "gpu.json"
    monkeypatch.setattr(script, "measure", measure)
    monkeypatch.setattr(sys, "argv", ["benchmark_gpu.py", "--out", str(out), "--networks", "a", "--batches", "1", "8"])
    with pytest.raises(torch.cuda.OutOfMemoryError):
        script.main()
    assert json.loads(out.read_text())["lines"] == [{"network": "a", "batch": 1}]


def test_the_onnx_files_are_written_from_a_network_that_was_not_moved(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any other device stands for the card."""
    monkeypatch.setattr(nn.Module, "cuda", lambda self: self.to("meta"))
    monkeypatch.setattr(script, "example", lambda *_: torch.zeros(1, 32, 32, 3, dtype=torch.uint8, device="meta"))
    monkeypatch.setattr(script, "_script", lambda module, _: module)
    monkeypatch.setattr(script, "_graphed", lambda run, _: run)

    def written_from(checkpoint, folder: Path) -> dict[str, str]:
        return {"devices": str({parameter.device.type for parameter in checkpoint.network.parameters()})}

    monkeypatch.setattr(script, "_onnx", written_from)
    runs = script.contenders(script.checkpoint_of("lenet5"), 1, tmp_path)
    assert next(runs["eager fp32"].network.parameters()).device.type == "meta"
    assert runs["devices"] == "{'cpu'}"

"""Run by LiteRT's own Python: a saved torch.export program → a .tflite file.

Order: {"program", "out"}. Answer: {"tools"}. Imports nothing of ours.
"""

from __future__ import annotations

import json
import logging
import sys
from importlib.metadata import version
from typing import Any

import litert_torch
import torch

TOOLS = ("litert-torch", "litert-converter", "ai-edge-litert")


class Named(torch.nn.Module):
    """The program, whose single answer gets a name: uint8 [1, H, W, 3] → {"probabilities": float32 [1, K]}."""

    def __init__(self, program: torch.nn.Module) -> None:
        super().__init__()
        self.program = program
        self.training = False  # an exported program refuses eval(); it was exported in evaluation mode

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"probabilities": self.program(image=image)}


def main() -> None:
    """Answer the one order."""
    order: dict[str, Any] = json.loads(sys.stdin.read())
    logging.disable(logging.WARNING)
    program = torch.export.load(order["program"])
    _, example = program.example_inputs
    litert_torch.convert(Named(program.module()), sample_kwargs=example).export(order["out"])
    print("\n" + json.dumps({"tools": {tool: version(tool) for tool in TOOLS}}))


if __name__ == "__main__":
    main()

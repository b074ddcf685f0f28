"""Run by LiteRT's own Python: a float .tflite file and pictures → an int8 one.

Order: {"source", "pictures", "out", "ranges", "layers_only", "threads"}. Answer: {"integers", "floats", "tools"}.
Imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import algorithm_manager, calibrator, qtyping, quantizer, recipe_manager
from ai_edge_quantizer.utils import qsv_utils

TOOLS = ("ai-edge-quantizer",)
RANGES = {"extremes": qsv_utils.min_max_update, "averaged": qsv_utils.moving_average_update}
"""How a tensor's range grows with every picture."""

_OPERATIONS = qtyping.TFLOperationName
_LAYERS = (_OPERATIONS.CONV_2D, _OPERATIONS.DEPTHWISE_CONV_2D, _OPERATIONS.FULLY_CONNECTED)
_FLOAT = (_OPERATIONS.OUTPUT, _OPERATIONS.SOFTMAX)
"""Probabilities in 256 steps would be no probabilities."""

_PADDED_POOL = (_OPERATIONS.PADV2, _OPERATIONS.MAX_POOL_2D)
"""A padded max pooling is padded with minus infinity, and a range that starts there has no scale."""

_MOVING = {"QUANTIZE", "DEQUANTIZE", "PAD", "PADV2", "RESHAPE", "TRANSPOSE", "CAST", "CONCATENATION", "SLICE", "SPLIT"}
"""Operators that only carry values about."""

_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


def main() -> None:
    """Answer the one order."""
    order: dict[str, Any] = json.loads(sys.stdin.read())
    model = quantizer.Quantizer(order["source"])
    model.load_quantization_recipe(_recipe(_operators(order["source"]), layers_only=order["layers_only"]))
    ranges = _ranges(model, order)
    Path(order["out"]).unlink(missing_ok=True)
    model.quantize(ranges).export_model(order["out"])
    Path(order["out"]).chmod(0o644)  # it is written as if it were a program
    integers, floats = _count(order["out"])
    tools = {tool: version(tool) for tool in TOOLS}
    print("\n" + json.dumps({"integers": integers, "floats": floats, "tools": tools}))


def _recipe(operators: list[str], *, layers_only: bool) -> Any:
    """Everything that can be quantized but `_FLOAT`, or layers only; weights by channel."""
    manager = recipe_manager.RecipeManager()
    for operation in _LAYERS if layers_only else (_OPERATIONS.ALL_SUPPORTED,):
        manager.add_static_config(regex=".*", operation_name=operation, activation_num_bits=8, weight_num_bits=8)
    if not layers_only:
        for operation in (*_FLOAT, *(_PADDED_POOL if "PADV2" in operators else ())):
            manager.add_quantization_config(
                regex=".*", operation_name=operation, algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE
            )
    return manager.get_quantization_recipe()


def _ranges(model: Any, order: dict[str, Any]) -> Any:
    """Every tensor's smallest and largest value over the pictures.

    `Quantizer.calibrate` knows only averages of them, which lost ResNet-18 a tenth of its answers.
    """
    pictures = np.load(order["pictures"], mmap_mode="r", allow_pickle=False)
    found = calibrator.Calibrator(
        model._float_model_buffer,
        num_threads=order["threads"],
        mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
        qsv_update_func=RANGES[order["ranges"]],
    )
    batches = [{"image": np.ascontiguousarray(picture[np.newaxis])} for picture in pictures]
    found.calibrate({"serving_default": batches}, model._recipe_manager)
    return found.get_model_qsvs()


def _operators(path: str) -> list[str]:
    model = flatbuffer_utils.read_model(path)
    return [_name(model, operator) for graph in model.subgraphs for operator in graph.operators]


def _count(path: str) -> tuple[int, int]:
    """Operators that compute on int8, and on floats."""
    model = flatbuffer_utils.read_model(path)
    integers = floats = 0
    for graph in model.subgraphs:
        for operator in graph.operators:
            if _name(model, operator) in _MOVING:
                continue
            if graph.tensors[operator.inputs[0]].type == schema.TensorType.INT8:
                integers += 1
            else:
                floats += 1
    return integers, floats


def _name(model: Any, operator: Any) -> str:
    return str(_NAMES[model.operatorCodes[operator.opcodeIndex].builtinCode])


if __name__ == "__main__":
    main()

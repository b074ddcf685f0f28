"""Static quantization by onnxruntime: ranges are measured once per calibrator, files are written many times."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import create_calibrator, save_tensors_data
from onnxruntime.quantization.qdq_loss_debug import (
    collect_activations,
    compute_activation_error,
    create_activation_matching,
    modify_model_output_intermediate_tensors,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from bundle.preprocess import Pixels
from export.quiet import quiet

Calibrator = Literal["minmax", "percentile", "entropy", "moving"]

_CALIBRATORS: dict[Calibrator, tuple[CalibrationMethod, dict[str, object]]] = {
    "minmax": (CalibrationMethod.MinMax, {}),
    "percentile": (CalibrationMethod.Percentile, {"percentile": 99.99, "symmetric": False}),
    # At its default of 128 bins it is MinMax again.
    "entropy": (CalibrationMethod.Entropy, {"num_bins": 512, "num_quantized_bins": 128}),
    "moving": (CalibrationMethod.MinMax, {"moving_average": True, "averaging_constant": 0.1}),
}
PICTURES: dict[Calibrator, int] = {"minmax": 256, "percentile": 64, "entropy": 64, "moving": 256}
"""Histograms cost more than extremes, and settle sooner."""

_IN_FLOAT = {"Softmax"}
"""In 8 bits probabilities would come in steps of 0.004, tie, and not add up to 1; in float it costs nothing."""

_CHUNK = 4
"""Pictures whose activations are in memory together."""

_SQNR_PICTURES = 8


class _Reader:
    """onnxruntime's interface: batches by the input's name, then None."""

    def __init__(self, tensors: Pixels, size: int = _CHUNK) -> None:
        self._batches = iter([tensors[start : start + size] for start in range(0, len(tensors), size)])

    def get_next(self) -> dict[str, Pixels] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"image": batch}

    def __iter__(self) -> Iterator[dict[str, Pixels]]:
        return ({"image": batch} for batch in self._batches)


class OnnxQuantizer:
    """Quantizes one fp32 file with the pictures given, uint8 [n, H, W, 3]; works in `folder`."""

    def __init__(self, source: Path, tensors: Pixels, folder: Path) -> None:
        self._tensors = tensors
        self._folder = folder
        self._prepared = folder / "prepared.onnx"
        self._ratios: dict[Calibrator, dict[str, float]] = {}
        with quiet(), np.errstate(all="ignore"):
            quant_pre_process(source, self._prepared, skip_symbolic_shape=True)
        # Calibration and quantization must speak of the same operators.
        found = {node.op_type for node in onnx.load(self._prepared).graph.node}
        self._types = sorted(found & _quantizable() - _IN_FLOAT)

    def quantize(
        self,
        path: Path,
        calibrator: Calibrator = "minmax",
        *,
        exclude: Sequence[str] = (),
        per_channel: bool = True,
    ) -> None:
        """Write the QDQ file: U8 activations by tensor, S8 weights by channel."""
        with quiet(), np.errstate(all="ignore"):
            quantize_static(
                self._prepared,
                path,
                calibration_cache_path=self._ranges(calibrator),
                calibrate_method=_CALIBRATORS[calibrator][0],
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=self._types,
                per_channel=per_channel,
                reduce_range=not has_integer_dot_product(),
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=list(exclude),
            )

    def worst_nodes(self, share: float, calibrator: Calibrator = "minmax") -> list[str]:
        """The names of the nodes around the `share` of tensors with the lowest signal-to-quantization-noise ratio."""
        if calibrator not in self._ratios:
            self._ratios[calibrator] = self._noise(calibrator)
        ratios = self._ratios[calibrator]
        worst = set(sorted(ratios, key=lambda name: ratios[name])[: max(1, round(share * len(ratios)))])
        graph = onnx.load(self._prepared).graph
        return [node.name for node in graph.node if node.op_type in self._types and worst & {*node.input, *node.output}]

    def _noise(self, calibrator: Calibrator) -> dict[str, float]:
        """Decibels by activation tensor, fp32 against the quantized file's own."""
        quantized = self._folder / "noise.onnx"
        self.quantize(quantized, calibrator)
        seen = {}
        with quiet(), np.errstate(all="ignore"):
            for kind, model in (("float", self._prepared), ("int8", quantized)):
                observed = self._folder / f"noise-{kind}.onnx"
                modify_model_output_intermediate_tensors(model, observed)
                seen[kind] = collect_activations(str(observed), _Reader(self._tensors[:_SQNR_PICTURES], 1))
            errors = compute_activation_error(create_activation_matching(seen["int8"], seen["float"]))
        return {name: error["qdq_err"] for name, error in errors.items()}

    def _ranges(self, calibrator: Calibrator) -> Path:
        """The file of ranges, measured at the first call."""
        path = self._folder / f"{calibrator}.json"
        if not path.exists():
            method, options = _CALIBRATORS[calibrator]
            with quiet(), np.errstate(all="ignore"):
                measure = create_calibrator(
                    self._prepared, self._types, str(self._folder / "observed.onnx"), method, extra_options=options
                )
                tensors = self._tensors[: PICTURES[calibrator]]
                for start in range(0, len(tensors), _CHUNK):
                    measure.collect_data(_Reader(tensors[start : start + _CHUNK]))
                save_tensors_data(measure.compute_data(), path)
        return path


def _quantizable() -> set[str]:
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return {*QDQRegistry, *QLinearOpsRegistry}


def has_integer_dot_product() -> bool:
    """Whether 8-bit products are summed without saturating: VNNI on x86, always on ARM.

    Without it the 8th bit of the weights is given up.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


LARGEST_WEIGHT = 127 if has_integer_dot_product() else 64
"""Of the integers that weights become here."""


def count_operators(path: Path, folder: Path) -> tuple[int, int]:
    """Operators on integers and on floats in the graph that onnxruntime really runs, after its own fusions.

    path: an ONNX or ORT file.
    """
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.add_session_config_entry("session.save_model_format", "ONNX")  # a .ort file would be written as one
    options.log_severity_level = 4
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    types = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    integer = sum(kind.startswith(_INTEGER) for kind in types)
    moving = sum(kind.startswith(_MOVING) for kind in types)
    return integer, len(types) - integer - moving


_INTEGER = ("QLinear", "QGemm", "ConvInteger", "MatMulInteger")
_MOVING = (
    *("Quantize", "Dequantize", "Cast", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Shape"),
    *("Gather", "Concat", "Split", "Slice", "Identity", "Reorder", "Constant"),
)
"""Converting and moving: neither integer nor float arithmetic."""

"""The onnxruntime session of an ONNX artefact. Opt-in: nothing else in `bundle` imports onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bundle.errors import ArtefactInvalid
from bundle.manifest import CLASS_MAP, EXPLAIN, Artefact

_ERRORS_ONLY = 3
_SPIN_MICROSECONDS = "2000"
"""Longer than any layer that only one thread works on."""
_DTYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}


def _fixed(shape: Sequence[object]) -> list[int | None]:
    """The dimensions, None for one that is chosen at run time, however it is called."""
    return [size if isinstance(size, int) else None for size in shape]


class OnnxSession:
    """Runs uint8 [N, H, W, 3] → float32 [N, K], and where the file has one its class map. Safe to share by threads.

    `threads` is per call: one is right where several calls run side by side (see docs/serve.md).
    Raises: ArtefactInvalid when the file does not load or differs from its record.
    """

    def __init__(
        self,
        path: Path,
        artefact: Artefact,
        *,
        threads: int = 1,
        providers: Sequence[str | tuple[str, dict[str, Any]]] = ("CPUExecutionProvider",),
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Within a call its threads wait for each other busily, which halves the time of small layers. For how long is
        # estimated once in a process, and too short an estimate stays: some processes were a third slower for good.
        options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_MICROSECONDS)
        # After a call they would go on, and take the core from whoever has work.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.log_severity_level = _ERRORS_ONLY
        try:
            self._session = ort.InferenceSession(str(path), options, providers=list(providers))
        except Exception as error:  # onnxruntime raises one pybind class per failure, without a common base
            raise ArtefactInvalid(path, " ".join(str(error).split())[:200]) from error
        self._input = artefact.inputs[0].name
        self._outputs = [spec.name for spec in artefact.outputs]
        self.input_shape = artefact.inputs[0].shape
        self._check(path, artefact)

    def run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 [N, K] probabilities of a uint8 [N, H, W, 3] batch, N ≥ 1.

        Raises: ValueError for another dtype or shape.
        """
        self._check_batch(batch)
        (probabilities,) = self._session.run(self._outputs[:1], {self._input: batch})
        return np.asarray(probabilities, dtype=np.float32)

    @property
    def explains(self) -> bool:
        """Whether the file answers with a class map too."""
        return len(self._outputs) > 1

    def explain(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The probabilities as `run` gives them, and the class maps float32 [N, h, w], 0 and more.

        Raises: ValueError as `run` does, and for a file without one.
        """
        if not self.explains:
            raise ValueError(f"no output {CLASS_MAP}: {self._outputs}")
        self._check_batch(batch)
        probabilities, maps = self._session.run(self._outputs, {self._input: batch, EXPLAIN: np.array(True)})
        return np.asarray(probabilities, dtype=np.float32), np.asarray(maps, dtype=np.float32)

    def _check_batch(self, batch: NDArray[np.uint8]) -> None:
        if batch.dtype != np.uint8 or batch.shape[1:] != self.input_shape[1:] or batch.ndim != 4:
            raise ValueError(f"expected uint8 {list(self.input_shape)}, got {batch.dtype} {list(batch.shape)}")

    @property
    def providers(self) -> list[str]:
        """The execution providers in use, first choice first."""
        return list(self._session.get_providers())

    def _check(self, path: Path, artefact: Artefact) -> None:
        for what, found, recorded in (
            ("input", self._session.get_inputs(), artefact.inputs),
            ("output", self._session.get_outputs(), artefact.outputs),
        ):
            actual = [(value.name, value.type, _fixed(value.shape)) for value in found]
            expected = [(spec.name, _DTYPES[spec.dtype], _fixed(spec.shape)) for spec in recorded]
            if actual != expected:
                raise ArtefactInvalid(path, f"{what} is {actual}, the manifest says {expected}")
        optional = [value.name for value in self._session.get_overridable_initializers()]
        if self.explains and EXPLAIN not in optional:
            raise ArtefactInvalid(path, f"no input {EXPLAIN} asks for its {CLASS_MAP}")

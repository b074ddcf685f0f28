"""One export at work: what writers read, and the files that they share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bundle.errors import ConvoyError
from bundle.manifest import MapParity, Quantization, TensorSpec
from export.accuracy import Gate
from export.calibration import CalibrationPictures
from export.errors import NoCalibration, WriterFailed
from export.evaluation import EvaluationSet
from export.targets import TARGETS
from models.checkpoint import Checkpoint


@dataclass(frozen=True)
class Written:
    """A file that a writer made. `inputs` and `outputs`: where the format has a convention of its own.

    map_size: (h, w) of its class map, which `class_map` proves; both or neither.
    """

    path: Path
    quantization: Quantization | None = None
    inputs: tuple[TensorSpec, ...] | None = None
    outputs: tuple[TensorSpec, ...] | None = None
    class_map: MapParity | None = None
    map_size: tuple[int, int] | None = None


@dataclass
class Job:
    """The checkpoint, the pictures that it is judged on, the gate, and a folder for files until they are proven."""

    checkpoint: Checkpoint
    evaluation: EvaluationSet
    gate: Gate
    folder: Path
    given_calibration: CalibrationPictures | None = None
    _made: dict[str, Written | ConvoyError] = field(default_factory=dict)

    @property
    def calibration(self) -> CalibrationPictures:
        """The pictures for int8. Raises: NoCalibration when nobody asked for int8 at the start."""
        if self.given_calibration is None:
            raise NoCalibration(self.checkpoint.manifest.name)
        return self.given_calibration

    def written(self, name: str) -> Written:
        """The file of a target, made once however many targets start from it.

        Raises: WriterFailed and the writer's own ConvoyErrors, each time it is asked for.
        """
        if name not in self._made:
            self._made[name] = self._make(name)
        made = self._made[name]
        if isinstance(made, ConvoyError):
            raise made
        return made

    def _make(self, name: str) -> Written | ConvoyError:
        target = TARGETS[name]
        try:
            return target.write(self, self.folder / target.file)
        except ConvoyError as error:
            return error
        except (OSError, ImportError, MemoryError):
            raise
        except Exception as error:  # exporters fail in their own ways, on architectures nobody has foreseen
            return WriterFailed(name, error)

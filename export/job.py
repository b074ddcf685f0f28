"""One export at work: what writers read, and the files that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bundle.errors import ConvoyError
from bundle.manifest import MapParity, Quantization, TensorSpec
from export.accuracy import Gate
from export.calibration import CalibrationPictures
from export.errors import NoCalibration, RungSkipped, WriterFailed
from export.evaluation import EvaluationSet
from export.fine_tuning import Budget, Tuned, fine_tune
from export.targets import TARGETS
from models.checkpoint import Checkpoint


@dataclass(frozen=True)
class Written:
    """A file that a writer made. `inputs` and `outputs`: where the format has a convention of its own.

    tools: versions of what is not installed in this environment.
    map_size: (h, w) of its class map, which `class_map` proves; both or neither.
    """

    path: Path
    quantization: Quantization | None = None
    inputs: tuple[TensorSpec, ...] | None = None
    outputs: tuple[TensorSpec, ...] | None = None
    tools: Mapping[str, str] = field(default_factory=dict)
    class_map: MapParity | None = None
    map_size: tuple[int, int] | None = None


@dataclass
class Job:
    """The checkpoint, the pictures that it is judged on, the gate, and a folder for files until they are proven.

    budget: for fine-tuning where nothing else keeps int8's answers; None switches it off.
    """

    checkpoint: Checkpoint
    evaluation: EvaluationSet
    gate: Gate
    folder: Path
    given_calibration: CalibrationPictures | None = None
    budget: Budget | None = None
    _made: dict[str, Written | ConvoyError] = field(default_factory=dict)
    _tuned: dict[int, Tuned | RungSkipped] = field(default_factory=dict)

    @property
    def calibration(self) -> CalibrationPictures:
        """The pictures for int8. Raises: NoCalibration when nobody asked for int8 at the start."""
        if self.given_calibration is None:
            raise NoCalibration(self.checkpoint.manifest.name)
        return self.given_calibration

    def tuned(self, largest_weight: int) -> Tuned:
        """The checkpoint fine-tuned for weights up to `largest_weight`, once for all targets. Raises: RungSkipped."""
        if largest_weight not in self._tuned:
            self._tuned[largest_weight] = self._tune(largest_weight)
        found = self._tuned[largest_weight]
        if isinstance(found, RungSkipped):
            raise found
        return found

    def _tune(self, largest_weight: int) -> Tuned | RungSkipped:
        try:
            return fine_tune(self.checkpoint, self.evaluation, self.budget, largest_weight)
        except RungSkipped as error:
            return error
        except (OSError, ImportError, MemoryError, ConvoyError):
            raise
        except Exception as error:  # torch.export fails in its own ways, on architectures nobody has foreseen
            return RungSkipped(str(WriterFailed("fine-tuning", error)))

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

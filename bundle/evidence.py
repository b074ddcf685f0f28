"""What was measured of an exported file before it was published."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from bundle.records import Count, Name, Record, Sha256, Share

Positive = Annotated[float, Field(gt=0)]
AtLeastOne = Annotated[int, Field(ge=1)]


class Parity(Record):
    """The artefact against the PyTorch model on the same uint8 tensors.

    `max_abs_difference` is of probabilities; `top1_agreement` a share of `n` pictures. The tolerances
    stand beside what they judge. `tolerance` is None for int8, whose probabilities may move as long as the
    answers and the accuracy stay.
    """

    n: AtLeastOne
    max_abs_difference: Annotated[float, Field(ge=0)]
    tolerance: Positive | None
    top1_agreement: Share
    min_top1_agreement: Share

    @model_validator(mode="after")
    def _check(self) -> Self:
        too_far = self.tolerance is not None and self.max_abs_difference > self.tolerance
        if too_far or self.top1_agreement < self.min_top1_agreement:
            raise ValueError("the recorded parity is outside its own tolerance")
        return self


class MapParity(Record):
    """The artefact's class maps against PyTorch's own Grad-CAM, by gradients, on `n` golden pictures.

    `max_relative_difference`: the largest difference as a share of its map's largest value; `tolerance` is None where
    it is not limited. `correlation`: of each map's values with PyTorch's, mean over the pictures.
    """

    n: AtLeastOne
    max_relative_difference: Annotated[float, Field(ge=0)]
    tolerance: Positive | None
    correlation: Annotated[float, Field(ge=-1, le=1)]
    min_correlation: Share

    @model_validator(mode="after")
    def _check(self) -> Self:
        too_far = self.tolerance is not None and self.max_relative_difference > self.tolerance
        if too_far or self.correlation < self.min_correlation:
            raise ValueError("the recorded class maps are outside their own tolerance")
        return self


class Flip(Record):
    """`count` pictures that the fp32 model puts into one class and the artefact into another (label indices)."""

    reference: Count
    found: Count
    count: AtLeastOne


class Accuracy(Record):
    """The artefact and the fp32 model on the same labelled pictures; `drop` = reference_top1 - top1.

    `drop_interval` is the 95 % interval of the paired drop. `lost`: pictures that only fp32 has right, `won`: those
    that only the artefact has right. `recall_change` by class, None without a picture. `flips`: the commonest
    changes of an answer. `passed`: top1 ≥ (1 - max_drop) · reference_top1, and no class lost more than
    `max_class_drop` of its pictures (see `export.accuracy`).
    """

    n: AtLeastOne
    top1: Share
    reference_top1: Share
    drop: float
    drop_interval: tuple[float, float]
    passed: bool
    max_drop: Share = 0.01
    max_class_drop: Share = 1.0
    lost: Count = 0
    won: Count = 0
    recall_change: tuple[float | None, ...] = ()
    flips: tuple[Flip, ...] = ()


class Latency(Record):
    """Milliseconds per picture at batch 1."""

    p50_ms: Positive
    p95_ms: Positive
    threads: AtLeastOne
    machine: str


class Calibration(Record):
    """The pictures that the ranges of int8 were measured on; `shared` of them are evaluation pictures too.

    `source` is `training split` or the name of the folder that was given.
    """

    source: str
    n: AtLeastOne
    classes: Count
    fingerprint: Sha256
    shared: Count


class FineTuning(Record):
    """Training that taught the weights to be rounded: `steps` in `epochs` over `pictures`.

    The goal was the fp32 network's own probabilities.
    """

    pictures: Calibration
    epochs: AtLeastOne
    steps: AtLeastOne
    learning_rate: Positive


class Rung(Record):
    """One way of quantizing that was tried: its figures, or why it was not measured to the end.

    `speed_up` is over fp32 in the same runtime, one thread, batch 1, rounds of both in turn.
    """

    name: str
    passed: bool
    reason: str
    top1: Share | None = None
    agreement: Share | None = None
    bytes: Count | None = None
    speed_up: Positive | None = None


class Quantization(Record):
    """How an int8 file came about, and whether it is one: operators on integers, operators left in float.

    `fine_tuning`: None where the weights are the checkpoint's, rounded. `delegated_share`: operators in the delegate's
    hands (ExecuTorch). Ratios are to fp32 in the same runtime.
    """

    method: str
    calibration: Calibration
    fine_tuning: FineTuning | None = None
    rungs: tuple[Rung, ...]
    integer_operators: AtLeastOne
    float_operators: Count
    delegated_share: Share | None = None
    size_ratio: Positive
    speed_up: Positive


class Refusal(Record):
    """A target that was asked for and not published, and why."""

    target: Name
    reason: str
    rungs: tuple[Rung, ...] = ()

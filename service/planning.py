"""How a model's pictures are put together: as the settings say, or as a start measures and remembers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle

import numpy as np

from bundle.image import decode
from bundle.manifest import Preprocess
from bundle.preprocess import preprocess
from service import plan_cache
from service.curve import MUST_GAIN, MUST_GAIN_ON_CORES, Plan, Point, measure
from service.runtime import Batch, Probabilities, Runtime
from service.settings import Settings
from service.together import SEVERAL, Work, best_together

Run = Callable[[Batch], Probabilities]


def on_cpu(runtime: Runtime) -> bool:
    """Whether its calls take the cores' time."""
    return str(runtime.describe()["providers"][0]).startswith("CPU")


def planned(
    settings: Settings, load: Callable[[int], Runtime], shape: tuple[int, ...], work: Work, **facts: object
) -> tuple[Plan, list[Point]]:
    """The plan, and the curve where one was measured.

    `load` makes a runtime with that many threads per call, `shape` is [H, W, 3], `work` works so many pictures off;
    `facts` are what the speed depends on, beside the machine, the runtime and the settings.
    """
    single = Plan(1, settings.cores, 1)
    if settings.batching == "off" or settings.batching == 1:
        return single, []
    runtime = load(1)
    if settings.batching == "small":
        return replace(single, together=SEVERAL), []
    if settings.batching != "auto":
        return Plan(settings.batching, settings.cores if on_cpu(runtime) else 1, 1), []
    key = plan_cache.key_of(threads=settings.cores, pool=settings.threads, **facts, **runtime.describe())
    if known := plan_cache.recall(settings.cache, key):
        return known
    must_gain = MUST_GAIN_ON_CORES if on_cpu(runtime) else MUST_GAIN
    plan, points = measure(load, shape, settings.cores, must_gain)
    if plan.cap == 1 and on_cpu(runtime):
        plan = replace(plan, together=best_together(work, settings.threads))
    plan_cache.remember(settings.cache, key, plan, points)
    return plan, points


SHORT = 0.0055
"""Seconds of a thread for a picture, below which one thread more than cores pays where pictures share calls: there is
always one that waits for the interpreter. A slower network loses a hundredth or two by it, most likely because its
calls have smaller shares of the caches; one by one it did not."""


def abreast(settings: Settings, plan: Plan, seconds: float) -> int:
    """Threads that work at the same time on pictures which take one thread so long: as set, or as is faster."""
    if "threads" in settings.model_fields_set or plan.together == 1 or seconds < SHORT:
        return settings.threads
    return settings.cores


def working_off(run: Run, pictures: Sequence[bytes], spec: Preprocess) -> Work:
    """Work for a measurement: so many of `pictures`, in turns and from any thread, the whole way to their answers."""
    turns = cycle(pictures)

    def work(count: int) -> None:
        run(np.stack([preprocess(decode(next(turns)), spec) for _ in range(count)]))

    return work


def in_company(run: Run, together: int) -> Run:
    """`run` of single pictures that share their call with others: float32 [1, K] of uint8 [1, H, W, 3]."""

    def last(batch: Batch) -> Probabilities:
        # Black ones: an answer that depended on its neighbours would be another one than alone.
        return run(np.concatenate([np.zeros((together - 1, *batch.shape[1:]), np.uint8), batch]))[-1:]

    return last

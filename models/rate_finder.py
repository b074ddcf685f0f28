"""The learning-rate range test: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3.

Lightning takes the steps, each at a higher rate. Its own suggestion is the steepest fall per unit of the rate, which
the tiny rates at the start win; here it is the steepest fall per decade.
"""

from __future__ import annotations

import contextlib
import io
import math
import tempfile
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from lightning.pytorch.tuner.tuning import Tuner

from models.charts import Axis, Chart, Line, across, polyline, round_ticks, up
from models.errors import TooFewSteps
from models.fit import Conditions, loaders_of, trainer_of
from models.recipe import Recipe
from models.report import render
from models.train import prepare

LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 100
SKIPPED = 10
"""Steps at the start, in which the smoothed loss has not settled."""


@dataclass(frozen=True)
class Rates:
    """`losses`: smoothed, at each of the rising `rates`. `suggestion`: None where the loss never falls."""

    recipe: Recipe
    rates: list[float]
    losses: list[float]
    suggestion: float | None


def find_rate(recipe: Recipe, *, progress: bool = False) -> Rates:
    """Try rates of 1e-6 to 1 in 100 steps on the recipe's training pictures. Raises: as `train` does, TooFewSteps."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        task = prepare(recipe, folder).task
        trainer = trainer_of(recipe, Conditions(progress=progress), [], folder, enable_checkpointing=False)
        training, _ = loaders_of(task, trainer, folder)
        # Lightning draws a bar whether it is wanted or not.
        silence = contextlib.nullcontext() if progress else contextlib.redirect_stderr(io.StringIO())
        with warnings.catch_warnings(), silence:
            # Rates that are far too high are part of the test: nothing is validated, which Lightning finds strange.
            warnings.filterwarnings("ignore", ".*have no `val_dataloader`.*")
            found = Tuner(trainer).lr_find(
                task.learner(), training, min_lr=LOWEST, max_lr=HIGHEST, num_training=STEPS, update_attr=False
            )
    rates, losses = ([] if found is None else found.results[name] for name in ("lr", "loss"))
    pairs = [(rate, loss) for rate, loss in zip(rates, losses, strict=True) if math.isfinite(loss)]
    if len(pairs) <= SKIPPED + 2:
        raise TooFewSteps(len(pairs))
    known_rates, known_losses = ([float(pair[index]) for pair in pairs] for index in (0, 1))
    return Rates(recipe, known_rates, known_losses, steepest(known_rates, known_losses))


def steepest(rates: list[float], losses: list[float]) -> float | None:
    """The rate at which the loss falls fastest per decade, before it is lowest; None where it never falls."""
    end = SKIPPED + max(2, int(np.argmin(losses[SKIPPED:])) + 1)
    slopes = np.gradient(np.array(losses[SKIPPED:end]), np.log10(rates[SKIPPED:end]))
    lowest = int(np.argmin(slopes))
    return rates[SKIPPED + lowest] if slopes[lowest] < 0 else None


def render_rates(found: Rates) -> str:
    """Self-contained HTML with the curve."""
    return render("rates.html", title="Learning rates tried", found=found, chart_data=rate_chart(found))


def rate_chart(found: Rates) -> Chart:
    """The loss over the logarithm of the rate; the suggestion is marked."""
    rates, losses = found.rates[SKIPPED:], found.losses[SKIPPED:]
    # What the diverging end climbs to would flatten the part that tells something.
    shown = min(max(losses), 1.5 * losses[0])
    ticks = round_ticks(min(losses), shown)
    x, y = _decades(rates), up("smoothed loss", ticks[0], ticks[-1], ticks)
    points = [(math.log10(rate), min(loss, ticks[-1])) for rate, loss in zip(rates, losses, strict=True)]
    marks: tuple[tuple[str, float], ...] = ()
    if found.suggestion is not None:
        marks = ((f"steepest: {found.suggestion:.1e}", x.at(math.log10(found.suggestion))),)
    line = Line(polyline(points, x, y), "s0", "smoothed training loss")
    return Chart("Training loss over the learning rate", x, y, (line,), marks=marks)


def _decades(rates: list[float]) -> Axis:
    low, high = math.floor(math.log10(rates[0])), math.ceil(math.log10(rates[-1]))
    axis = across("learning rate", low, high, ())
    return replace(axis, ticks=tuple((f"1e{power}", axis.at(power)) for power in range(low, high + 1)))

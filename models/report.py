"""Self-contained HTML reports: one file, no script, no address of anything outside."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from bundle.manifest import Metrics
from models.data import TrainingData
from models.history import History
from models.recipe import Recipe


def render(template: str, **values: Any) -> str:
    """A template of `models/templates`; a missing value is an error, every value is escaped."""
    environment = Environment(
        loader=PackageLoader("models"), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(**values)


def render_training_report(recipe: Recipe, metrics: Metrics, data: TrainingData, history: History) -> str:
    """Learning curves, the validation figures, recall by class and the recipe."""
    return render(
        "training.html",
        title=f"{recipe.arch} on {len(data.classes)} classes",
        recipe=recipe.model_dump(mode="json"),
        metrics=metrics,
        recalls=list(zip(data.classes, metrics.per_class_recall, strict=True)),
        counts={"train": len(data.train.samples), "validation": len(data.validation.samples)},
        skipped=data.skipped,
        leaks=data.leaks,
        loss=curves(history, {"train_loss": "training loss", "val_loss": "validation loss"}),
        accuracy=curves(history, {"val_accuracy": "validation accuracy"}),
        history=history,
    )


def curves(history: History, names: dict[str, str], width: int = 520, height: int = 200) -> dict[str, Any]:
    """Polylines of the columns `names` over the epochs, in the pixels of a `width` x `height` drawing."""
    series = {label: [row[name] for row in history if name in row] for name, label in names.items()}
    values = [value for line in series.values() for value in line]
    low, high = min(values, default=0.0), max(values, default=1.0)
    span = (high - low) or 1.0

    def point(index: int, count: int, value: float) -> str:
        x = width * (index / (count - 1) if count > 1 else 0.5)
        return f"{x:.1f},{height * (1 - (value - low) / span):.1f}"

    return {
        "width": width,
        "height": height,
        "low": low,
        "high": high,
        "epochs": len(history),
        "lines": {
            label: " ".join(point(index, len(line), value) for index, value in enumerate(line))
            for label, line in series.items()
        },
    }

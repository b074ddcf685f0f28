"""Pictures → checkpoint folder, trained with Lightning."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import lightning

from bundle.folder import refuse_existing, write_folder
from bundle.manifest import Metrics, Provenance, model_name
from models.callbacks import HISTORY, LAST
from models.checkpoint import Facts, write_checkpoint
from models.data import TrainingData, read_training_data
from models.duplicates import Duplicate, warning
from models.figures import FILE as METRICS
from models.figures import Figures, to_json
from models.fit import TENSORBOARD, Conditions, Task, fit, leads, load_best
from models.history import read_history
from models.inference import use_threads
from models.measure import answers_of, measure
from models.mistakes import Mistake, worst_mistakes
from models.provenance import git_revision, tool_versions
from models.recipe import HEAD, PreprocessChange, Recipe
from models.registry import find
from models.report import FILE as PAGE
from models.report import Report, render_report
from models.summary import split_of
from models.unfinished import begin, check_inputs, reopen, unfinished
from models.weights import LoadedNetwork, load_network, with_classes

MOST_LEAKS = 50
"""Named in the report; `convoy data` lists them all."""

ALONE = Conditions()


@dataclass(frozen=True)
class Trained:
    """What a run ended with.

    epochs: how many were trained; `best`, from 1, is the one whose weights were kept.
    skipped: unreadable pictures that were left out, with the reason. leaks: pictures in more than one split.
    """

    id: str
    metrics: Metrics
    epochs: int
    best: int
    skipped: tuple[tuple[Path, str], ...]
    leaks: tuple[Duplicate, ...]


def train(recipe: Recipe, out: Path, *, overwrite: bool = False, conditions: Conditions = ALONE) -> Trained | None:
    """Train as `recipe` says and write the checkpoint folder `out`. None in a process that only helps another.

    Raises: the errors of `models.errors`, TargetExists.
    """
    find(recipe.arch)
    model_name(out)
    if not leads():
        _fit(recipe, out, unfinished(out), conditions, resume=False)
        return None
    refuse_existing(out, "checkpoint", overwrite=overwrite)
    with begin(out, recipe, overwrite=overwrite) as folder:
        prepared = _fit(recipe, out, folder, conditions, resume=False)
        return _publish(prepared, out, folder, overwrite=overwrite)


def resume(out: Path, *, overwrite: bool = False, conditions: Conditions = ALONE) -> Trained | None:
    """Go on after the last epoch of a run that was stopped, to the same end as if it had not been.

    Raises: NothingToResume, RunInProgress, RunChanged, and as `train` does.
    """
    with reopen(out, alone=leads()) as (folder, recipe):
        if leads():
            refuse_existing(out, "checkpoint", overwrite=overwrite)
        prepared = _fit(recipe, out, folder, conditions, resume=True)
        return _publish(prepared, out, folder, overwrite=overwrite) if leads() else None


def finish(out: Path, *, overwrite: bool = False) -> Trained:
    """Make a checkpoint of the best epoch of a run that was stopped, without training on.

    Raises: NothingToResume, RunInProgress, RunChanged, TargetExists.
    """
    with reopen(out, alone=True) as (folder, recipe):
        refuse_existing(out, "checkpoint", overwrite=overwrite)
        return _publish(prepare(recipe, folder), out, folder, overwrite=overwrite)


@dataclass(frozen=True)
class Prepared:
    """What training needs and the checkpoint tells of."""

    task: Task
    loaded: LoadedNetwork


def prepare(recipe: Recipe, folder: Path) -> Prepared:
    """Everything up to the first step. `folder` keeps what the run began with. Raises: as `train` does."""
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    data = read_training_data(
        Path(recipe.data), validation_share=recipe.validation_share, seed=recipe.seed, skip_bad=recipe.skip_bad
    )
    entry = find(recipe.arch)
    loaded = load_network(entry, recipe.weights)
    spec = recipe.preprocess.of(loaded.preprocess)
    use_threads(spec.crop)
    network = with_classes(loaded, entry, len(data.classes), keep_head=recipe.transfer != HEAD)
    if leads():
        inputs = {
            "the training pictures": data.train.fingerprint,
            "the validation pictures": data.validation.fingerprint,
        }
        check_inputs(folder, {**inputs, "the weights file": loaded.sha256 or loaded.source})
    return Prepared(Task(recipe, entry, network, spec, data), loaded)


def _fit(recipe: Recipe, out: Path, folder: Path, conditions: Conditions, *, resume: bool) -> Prepared:
    prepared = prepare(recipe, folder)
    fit(prepared.task, folder, out, conditions, resume=resume)
    return prepared


def _publish(prepared: Prepared, out: Path, folder: Path, *, overwrite: bool) -> Trained:
    """The best epoch, measured, as a checkpoint folder."""
    task, loaded = prepared.task, prepared.loaded
    best = load_best(folder, task.trained)
    data, network, spec = task.data, task.network, task.spec
    use_threads(spec.crop)
    history = read_history(folder / HISTORY)
    with write_folder(out, "checkpoint", overwrite=overwrite) as partial:
        shutil.copyfile(folder / HISTORY, partial / HISTORY)
        shutil.copyfile(folder / LAST, partial / LAST)
        if (folder / TENSORBOARD).is_dir():
            shutil.copytree(folder / TENSORBOARD, partial / TENSORBOARD)
        answers = answers_of(network, spec, data.validation)
        figures = measure(answers, data.classes, data.validation.fingerprint, data.validation.split)
        whole = PreprocessChange.model_validate(spec.model_dump())
        resolved = task.recipe.model_copy(update={"preprocess": whole})
        mistakes = worst_mistakes(network, task.entry, spec, answers, data.validation)
        _write_documents(partial, resolved, figures, mistakes, data)
        facts = Facts(
            name=model_name(out),
            labels=data.classes,
            preprocess=spec,
            provenance=Provenance(
                git_revision=git_revision(),
                recipe=resolved.model_dump(mode="json"),
                data_fingerprint=data.train.fingerprint,
                seed=resolved.seed,
                weights_source=loaded.source,
                weights_sha256=loaded.sha256,
                tools=tool_versions("torch", "torchvision", "lightning", "torchmetrics", "pillow"),
            ),
            arguments=loaded.arguments,
            temperature=answers.temperature,
            metrics=figures.metrics,
            reference_distribution=answers.calibrated.reference_distribution(),
        )
        identity = write_checkpoint(partial, task.entry, network, facts)
    return Trained(identity, figures.metrics, len(history), best + 1, data.skipped, data.leaks)


def _write_documents(
    folder: Path, recipe: Recipe, figures: Figures, mistakes: list[Mistake], data: TrainingData
) -> None:
    (folder / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    (folder / METRICS).write_text(to_json(figures), encoding="utf-8")
    report = Report(
        title=f"{recipe.arch} on {len(data.classes)} classes",
        intro=f"{len(data.train.samples)} training and {figures.n} validation pictures. Every figure is of the best "
        "epoch on the validation pictures, after temperature scaling fitted on the same pictures.",
        figures=figures,
        mistakes=mistakes,
        splits=[split_of(pictures, data.classes) for pictures in data.parts.values()],
        notes=[warning(data.leaks), *map(str, data.leaks[:MOST_LEAKS])] if data.leaks else [],
        history=read_history(folder / HISTORY),
        recipe=recipe.model_dump(mode="json"),
    )
    (folder / PAGE).write_text(render_report(report), encoding="utf-8")

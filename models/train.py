"""Pictures → checkpoint folder, trained with Lightning."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor
from torch.utils.data import DataLoader

from bundle.folder import refuse_existing, write_folder
from bundle.manifest import Metrics, Preprocess, Provenance, model_name
from models.augment import Augment
from models.checkpoint import Facts, write_checkpoint
from models.data import TrainingData, read_training_data
from models.datasets import feature_loader, picture_loader
from models.duplicates import Duplicate, warning
from models.errors import Interrupted
from models.figures import FILE as METRICS
from models.figures import Figures, to_json
from models.history import read_history, write_history
from models.inference import logits_of, use_threads
from models.learner import Learner
from models.measure import answers_of, labels_of, measure
from models.mistakes import Mistake, worst_mistakes
from models.provenance import git_revision, tool_versions
from models.recipe import Recipe
from models.registry import Entry, find
from models.report import FILE as PAGE
from models.report import Report, render_report
from models.summary import split_of
from models.transfer import head_of, headless, takes_features
from models.weights import load_network, with_classes

Loader = DataLoader[tuple[Tensor, Tensor]]

MOST_LEAKS = 50
"""Named in the report; `convoy data` lists them all."""


@dataclass(frozen=True)
class Trained:
    """What a run ended with.

    skipped: unreadable pictures that were left out, with the reason. leaks: pictures in more than one split.
    """

    id: str
    metrics: Metrics
    skipped: tuple[tuple[Path, str], ...]
    leaks: tuple[Duplicate, ...]


def train(recipe: Recipe, out: Path, *, overwrite: bool = False, progress: bool = True) -> Trained:
    """Train as `recipe` says and write the checkpoint folder `out`.

    Raises: the errors of `models.errors`, TargetExists.
    """
    entry, name = find(recipe.arch), model_name(out)
    refuse_existing(out, "checkpoint", overwrite=overwrite)
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    data = read_training_data(
        Path(recipe.data), validation_share=recipe.validation_share, seed=recipe.seed, skip_bad=recipe.skip_bad
    )
    loaded = load_network(entry, recipe.weights)
    spec = recipe.preprocess or loaded.preprocess
    use_threads(spec.crop)
    network = with_classes(loaded, entry, len(data.classes), keep_head=recipe.transfer != "head")
    learner = Learner(network, entry.head, spec, recipe, len(data.classes))
    with write_folder(out, "checkpoint", overwrite=overwrite) as partial:
        _fit(learner, entry, data, spec, partial, progress=progress)
        answers = answers_of(learner.network, spec, data.validation)
        figures = measure(answers, data.classes, data.validation.fingerprint, data.validation.split)
        resolved = recipe.model_copy(update={"preprocess": spec})
        mistakes = worst_mistakes(learner.network, entry, spec, answers, data.validation)
        _write_documents(partial, resolved, figures, mistakes, data)
        facts = Facts(
            name=name,
            labels=data.classes,
            preprocess=spec,
            provenance=Provenance(
                git_revision=git_revision(),
                recipe=resolved.model_dump(mode="json"),
                data_fingerprint=data.train.fingerprint,
                seed=recipe.seed,
                weights_source=loaded.source,
                weights_sha256=loaded.sha256,
                tools=tool_versions("torch", "torchvision", "lightning", "torchmetrics", "pillow"),
            ),
            arguments=loaded.arguments,
            temperature=answers.temperature,
            metrics=figures.metrics,
            reference_distribution=answers.calibrated.reference_distribution(),
        )
        identity = write_checkpoint(partial, entry, learner.network, facts)
    return Trained(identity, figures.metrics, data.skipped, data.leaks)


def _fit(learner: Learner, entry: Entry, data: TrainingData, spec: Preprocess, folder: Path, *, progress: bool) -> None:
    """Train; afterwards the network has the weights of the best epoch and `folder` has last.ckpt and history.csv."""
    recipe = learner.recipe
    train_loader, validation_loader = _loaders(learner, entry, data, spec)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        best = ModelCheckpoint(scratch, filename="best", monitor="val_accuracy", mode="max")
        # Lightning's save_last would copy the best again: it is written only when a new best is.
        last = ModelCheckpoint(scratch, filename="last", every_n_epochs=1)
        logger = CSVLogger(scratch, name="", version="")
        trainer = lightning.Trainer(
            max_epochs=recipe.epochs,
            accelerator="auto",
            devices=1,
            logger=logger,
            callbacks=[best, last],
            enable_progress_bar=progress,
            enable_model_summary=False,
            log_every_n_steps=1,
            deterministic="warn",
            num_sanity_val_steps=0,
        )
        try:
            trainer.fit(learner, train_loader, validation_loader)
        except SystemExit as error:  # Lightning turns Ctrl-C and SIGTERM into exits of its own, SIGTERM's with code 0
            raise Interrupted(143 if isinstance(error, SIGTERMException) else 130) from error
        state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
        learner.load_state_dict(state["state_dict"])
        learner.to("cpu")
        write_history(folder / "history.csv", read_history(Path(scratch) / "metrics.csv"))
        Path(last.best_model_path).rename(folder / "last.ckpt")


def _loaders(learner: Learner, entry: Entry, data: TrainingData, spec: Preprocess) -> tuple[Loader, Loader]:
    recipe = learner.recipe
    head = head_of(learner.network, entry.head)
    if recipe.transfer == "head" and recipe.augment == "none" and takes_features(head):
        # The frozen backbone gives every picture the same features in every epoch: compute them once.
        with headless(learner.network, entry.head) as backbone:
            features = [
                (logits_of(backbone, spec, pictures.batches(spec)), labels_of(pictures))
                for pictures in (data.train, data.validation)
            ]
        return (
            feature_loader(*features[0], recipe.batch_size, shuffle=True),
            feature_loader(*features[1], 256, shuffle=False),
        )
    return (
        picture_loader(data.train, Augment(recipe.augment, spec), recipe.batch_size, shuffle=True),
        picture_loader(data.validation, Augment("none", spec), recipe.batch_size, shuffle=False),
    )


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
        history=read_history(folder / "history.csv"),
        recipe=recipe.model_dump(mode="json"),
    )
    (folder / PAGE).write_text(render_report(report), encoding="utf-8")

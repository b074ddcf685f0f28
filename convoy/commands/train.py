from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from convoy.commands.options import Json, Overwrite
from convoy.console import err, next_step, show
from convoy.errors import NotTogether, OptionMissing

if TYPE_CHECKING:
    from models.history import Epoch
    from models.recipe import Recipe
    from models.train import Trained

DATA = "A folder of classes, a CSV, a zip of either, idx files, or a name such as cifar10."


def train(
    out: Annotated[Path, typer.Option(help="The checkpoint folder to write.")],
    recipe: Annotated[
        Optional[str], typer.Option(help="A recipe of Convoy's by name, or a .yaml file; options go before it.")
    ] = None,
    arch: Annotated[Optional[str], typer.Option(help="The architecture, such as mobilenet_v2.")] = None,
    data: Annotated[Optional[Path], typer.Option(help=DATA)] = None,
    weights: Annotated[Optional[str], typer.Option(help="imagenet, none, or a file.")] = None,
    transfer: Annotated[
        Optional[str],
        typer.Option(help="head (frozen backbone), finetune (in stages), full or scratch. Default: head with weights."),
    ] = None,
    epochs: Annotated[Optional[int], typer.Option(help="Default: 30 for head, else 10.")] = None,
    batch_size: Annotated[Optional[int], typer.Option(help="Pictures per step, over all devices. Default: 32.")] = None,
    learning_rate: Annotated[
        Optional[float], typer.Option("--learning-rate", "--lr", help="Default: 1e-3; 1e-4 for full.")
    ] = None,
    augment: Annotated[
        Optional[str],
        typer.Option(help="none, light, standard or strong. Default: light for finetune and full, else none."),
    ] = None,
    validation_share: Annotated[
        Optional[float], typer.Option(help="Held out of data without a validation split. Default: 0.2.")
    ] = None,
    seed: Annotated[Optional[int], typer.Option(help="Of the split, the weights and the order. Default: 0.")] = None,
    set_: Annotated[
        Optional[list[str]],
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting of a recipe: --set optimizer=sgd --set mixup=0.2"),
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable images out and list them.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run of --out that was stopped.")] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Make a checkpoint of the best epoch of the run that was stopped.")
    ] = False,
    find_lr: Annotated[
        Optional[Path],
        typer.Option("--find-lr", metavar="FILE.html", help="Do not train: try learning rates and draw the losses."),
    ] = None,
    devices: Annotated[str, typer.Option(help="GPUs of each machine, or processes without any; auto: all GPUs.")] = "1",
    nodes: Annotated[int, typer.Option(min=1, help="Machines; torchrun starts Convoy on each.")] = 1,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard's event files too.")] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Train on labelled images and write a checkpoint folder."""
    given = {
        "arch": arch,
        "data": data,
        "weights": weights,
        "transfer": transfer,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "augment": augment,
        "validation_share": validation_share,
        "seed": seed,
        "skip_bad": skip_bad or None,
    }
    given = {key: value for key, value in given.items() if value is not None}
    if resume or finish:
        _refuse_with(resume, finish, [*given, *(["recipe"] if recipe else []), *(["set"] if set_ else [])], find_lr)
    from convoy.quiet import quiet_training
    from models.fit import Conditions
    from models.train import finish as make_of_best
    from models.train import resume as go_on
    from models.train import train as run

    quiet_training()
    conditions = Conditions(
        devices=_devices(devices),
        nodes=nodes,
        progress=not json and err.is_terminal,
        tensorboard=tensorboard,
        tell=None if json else _tell,
    )
    if find_lr is not None:
        _find_lr(_recipe(recipe, given, set_ or []), find_lr, json=json)
        return
    if finish:
        trained: Trained | None = make_of_best(out, overwrite=overwrite)
    elif resume:
        trained = go_on(out, overwrite=overwrite, conditions=conditions)
    else:
        trained = run(_recipe(recipe, given, set_ or []), out, overwrite=overwrite, conditions=conditions)
    if trained is not None:
        _report(trained, out, json=json)


def _recipe(name: str | None, given: dict[str, Any], texts: list[str]) -> Recipe:
    from models.data import address
    from models.recipe import resolve_recipe
    from models.recipe_files import merged, parse_settings, read_recipe

    settings = merged(read_recipe(name) if name else {}, given, parse_settings(texts))
    for option in ("arch", "data"):
        if settings.get(option) is None:
            raise OptionMissing(option)
    architecture, source = str(settings.pop("arch")), Path(str(settings.pop("data")))
    return resolve_recipe(architecture, address(source), **{"weights": "none", **settings})


def _refuse_with(resume: bool, finish: bool, given: list[str], find_lr: Path | None) -> None:
    what = "--resume" if resume else "--finish"
    if resume and finish:
        raise NotTogether("--resume", "--finish")
    if find_lr is not None:
        raise NotTogether(what, "--find-lr")
    if given:
        raise NotTogether(what, f"--{given[0].replace('_', '-')}", "the run goes on with the settings it began with")


def _devices(text: str) -> Any:
    if text == "auto":
        return text
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise typer.BadParameter(f"{text!r} is neither a number from 1 nor auto", param_hint="--devices")
    return number


def _tell(epoch: Epoch, epochs: int, seconds: float) -> None:
    err.print(
        f"epoch {epoch['epoch'] + 1:.0f}/{epochs}  loss {epoch['train_loss']:.4f}  "
        f"validation loss {epoch['val_loss']:.4f}  accuracy {epoch['val_accuracy']:.4f}  {seconds:.1f} s"
    )


def _find_lr(recipe: Recipe, page: Path, *, json: bool) -> None:
    from convoy.console import write_text
    from convoy.errors import NotHtml
    from models.rate_finder import find_rate, render_rates

    if page.suffix.lower() not in (".html", ".htm"):
        raise NotHtml(page)
    found = find_rate(recipe, progress=not json and err.is_terminal)
    write_text(page, render_rates(found))
    suggestion = "none: the loss never fell" if found.suggestion is None else f"{found.suggestion:.1e}"
    show(
        [("suggested learning rate", suggestion), ("tried", f"{found.rates[0]:.0e} to {found.rates[-1]:.0e}")],
        {"suggestion": found.suggestion, "rates": found.rates, "losses": found.losses},
        as_json=json,
    )


def _report(trained: Trained, out: Path, *, json: bool) -> None:
    from models.duplicates import warning

    for path, reason in trained.skipped:
        err.print(f"left out {path}: {reason}", style="yellow")
    if trained.leaks:
        err.print(f"warning: {warning(trained.leaks)}", style="yellow")
    metrics = trained.metrics
    rows = [
        ("checkpoint", str(out)),
        ("id", trained.id),
        ("epochs", f"{trained.epochs}, of which {trained.best} was kept"),
        ("validation top-1", f"{metrics.top1:.4f}"),
        ("validation pictures", str(metrics.n)),
        ("macro F1", f"{metrics.macro_f1:.4f}"),
        ("calibration error", f"{metrics.ece:.4f}"),
        ("report", str(out / "report.html")),
    ]
    record = {
        "checkpoint": str(out),
        "id": trained.id,
        "epochs": trained.epochs,
        "best_epoch": trained.best,
        "metrics": metrics.model_dump(mode="json"),
        "skipped": [{"image": str(path), "reason": reason} for path, reason in trained.skipped],
    }
    show(rows, record, as_json=json)
    next_step(f"convoy export {out} --to onnx --out bundles/{out.name}")

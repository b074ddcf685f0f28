from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from convoy.commands.options import Json, Overwrite
from convoy.console import show


def look(
    source: Annotated[str, typer.Argument(metavar="RUN|ARCH", help="A checkpoint folder, or an architecture.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture to look at.")],
    out: Annotated[Optional[Path], typer.Option(help="The folder to write. Default: looks/NAME-IMAGE.")] = None,
    layers: Annotated[
        Optional[str], typer.Option(help="Feature maps after these, comma separated. Default: the last of each size.")
    ] = None,
    label: Annotated[
        Optional[str], typer.Option(help="The class to explain, by name or number. Default: the answer.")
    ] = None,
    weights: Annotated[str, typer.Option(help="Of an architecture: imagenet, none, or a file.")] = "imagenet",
    labels: Annotated[Optional[Path], typer.Option(help="One label per line, for weights from a file.")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Look inside a network: first filters, feature maps and a class activation map, as PNGs and one page."""
    from models.look import look as run
    from models.look import subject_of
    from models.looking import PAGE, write_look

    subject = subject_of(source, weights, labels)
    chosen = [layer.strip() for layer in layers.split(",")] if layers else []
    found = run(subject, image, layers=chosen, label=label)
    target = out or Path("looks") / f"{subject.name}-{image.stem}"
    write_look(found, target, overwrite=overwrite)
    best = found.answers[0]
    rows = [
        ("answer", f"{best.label}, {best.probability:.4f}"),
        ("explained", subject.labels[found.target]),
        ("maps after", ", ".join(maps.layer for maps in found.maps)),
        ("page", str(target / PAGE)),
    ]
    answers = [answer.as_dict() for answer in found.answers]
    maps = [maps.layer for maps in found.maps]
    record = {"answers": answers, "explained": subject.labels[found.target], "maps": maps, "page": str(target / PAGE)}
    show(rows, record, as_json=json)

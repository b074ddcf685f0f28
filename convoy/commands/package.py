from __future__ import annotations

from convoy.commands.options import BundlePath, Json
from convoy.console import next_step, show


def package(bundle: BundlePath, json: Json = False) -> None:
    """Build a Bento of the service with a bundle inside."""
    from service.package import package as build

    tag, folder = build(bundle)
    record = {"bento": tag, "folder": str(folder)}
    show(list(record.items()), record, as_json=json)
    next_step(f"bentoml serve {tag}   or   bentoml containerize {tag}")

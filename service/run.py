"""Starting the service on this machine."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from bundle.errors import ConvoyError
from bundle.folder import open_bundle
from service.catalogue import find_bundles
from service.keys import Keys
from service.runtime import candidates
from service.settings import KEPT_SECONDS, read_settings

ROOT = Path(__file__).resolve().parent.parent


class PortInUse(ConvoyError):
    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"{host}:{port} cannot be listened on ({reason}): choose another --port")


def check_port(host: str, port: int) -> None:
    """Raises: PortInUse when the address cannot be listened on."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError, TypeError, UnicodeError) as error:
            raise PortInUse(host, port, getattr(error, "strerror", None) or str(error)) from error


def command(host: str, port: int) -> list[str]:
    """BentoML's own server for this service."""
    serve = ["serve", "service.app:Convoy", "--working-dir", str(ROOT), "--host", host, "--port", str(port)]
    return [sys.executable, "-m", "bentoml", *serve, "--timeout-keep-alive", str(KEPT_SECONDS)]


def environment(models: Path) -> dict[str, str]:
    """This process's environment with the bundles in it; BentoML's usage reports stay off unless asked for."""
    return {"BENTOML_DO_NOT_TRACK": "True", **os.environ, "CONVOY_MODELS": str(models.resolve())}


def check(models: Path, host: str, port: int) -> None:
    """Everything that can be refused before a server is started.

    Raises: FolderError, FolderNotModels, ArtefactMissing, SettingInvalid, PortInUse.
    """
    settings = read_settings(environment(models))
    if settings.api_keys_file:
        Keys(settings.api_keys_file)
    for address in find_bundles(models):
        candidates(open_bundle(address.path).manifest, settings.artefact, settings.runtime_options)
    check_port(host, port)

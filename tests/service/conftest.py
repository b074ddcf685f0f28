from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import prometheus_client
import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from bundle.folder import open_bundle, record_file, write_manifest
from service.engine import Engine
from service.front import Front
from service.metrics import Metrics
from service.settings import Settings


@dataclass
class Served:
    """A front on a real socket around a stand-in for BentoML's application."""

    url: str
    port: int
    engine: Engine
    loop: asyncio.AbstractEventLoop

    def written(self) -> None:
        """Return once everything that has ended is written down: what the loop is told here comes after it."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (self.engine.ledger.book(), done.set()))
        assert done.wait(10)

    def post(self, body: bytes = b"", path: str = "/predict", **options: object) -> httpx.Response:
        return httpx.post(self.url + path, content=body, timeout=30, **options)  # type: ignore[arg-type]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30)


def new_engine() -> Engine:
    """An engine with a registry of its own: the default one takes each metric once per process."""
    engine = Engine()
    engine._metrics = Metrics(prometheus_client.CollectorRegistry())
    return engine


@contextmanager
def served(engine: Engine) -> Iterator[Served]:
    app = Front(PlainTextResponse("BentoML's own page"), engine)
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    runner = asyncio.Runner(loop_factory=config.get_loop_factory())
    thread = threading.Thread(target=_run, args=(runner, server), daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Served(f"http://127.0.0.1:{port}", port, engine, runner.get_loop())
    finally:
        server.should_exit = True
        thread.join(10)


def _run(runner: asyncio.Runner, server: uvicorn.Server) -> None:
    with runner:
        runner.run(server.serve())


@contextmanager
def plainly_served(bundle: Path) -> Iterator[Served]:
    """A bundle at its defaults, but that nothing is measured first."""
    engine = new_engine()
    engine.start(Settings(models=bundle, batching="off")).join()
    with served(engine) as running:
        yield running
    engine.stop()


def start(settings: Settings) -> Engine:
    """An engine that has tried to load, whatever came of it."""
    engine = new_engine()
    engine.start(settings).join()
    return engine


@pytest.fixture(scope="module")
def tiny_settings(tiny_bundle: Path) -> Settings:
    return Settings(models=tiny_bundle, max_bytes=200_000, timeout=5, max_wait=5, threads=2)


@pytest.fixture(scope="module")
def tiny_service(tiny_settings: Settings) -> Iterator[Served]:
    """The tiny bundle, loaded and ready."""
    engine = new_engine()
    engine.start(tiny_settings).join()
    with served(engine) as running:
        yield running
    engine.stop()


@pytest.fixture(scope="module")
def twins(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with its artefact twice: as onnx and as twin."""
    root = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("twins") / "tiny"))
    manifest = open_bundle(root).manifest
    shutil.copyfile(root / "model.onnx", root / "twin.onnx")
    twin = manifest.artefacts[0].model_copy(update={**record_file(root, "twin.onnx").model_dump(), "target": "twin"})
    write_manifest(root, manifest.model_copy(update={"artefacts": (*manifest.artefacts, twin)}))
    return root

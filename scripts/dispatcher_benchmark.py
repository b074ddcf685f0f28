"""BentoML's own adaptive batching against the service's batcher, by turns, with the machine's limit beside them.

    .venv/bin/python -m scripts.dispatcher_benchmark BUNDLE --images FOLDER

`Batched` is the service as BentoML documents it: one batchable API that decodes, preprocesses and infers its batch.
Both get the same pictures as multipart forms. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import bentoml
import httpx
import numpy as np

from bundle.cores import available_cores
from bundle.folder import open_bundle
from bundle.image import decode
from bundle.onnx_session import OnnxSession
from bundle.preprocess import preprocess
from load_tests.closed_loop import Load, read_pictures
from scripts.limit import Limit
from scripts.serving_benchmark import rate
from service.run import ROOT
from tests.serving import bento_server, free_port, server

BUNDLE = "CONVOY_DISPATCHER_BUNDLE"


@bentoml.service(workers=1, traffic={"timeout": 60})
class Batched:
    """BentoML's dispatcher in front of one session that uses every core."""

    def __init__(self) -> None:
        bundle = open_bundle(Path(os.environ[BUNDLE]))
        self.spec = bundle.manifest.preprocess
        artefact = bundle.manifest.artefact("onnx")
        self.session = OnnxSession(bundle.path(artefact), artefact, threads=available_cores())

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=60_000)
    def predict(self, images: list[Path]) -> list[int]:
        """The most probable class of each picture."""
        batch = np.stack([preprocess(decode(path.read_bytes()), self.spec) for path in images])
        return [int(index) for index in self.session.run(batch).argmax(axis=1)]


def forms(url: str, path: str, field: str, pictures: list[bytes]) -> list[bytes]:
    """Each picture as a whole HTTP request with a multipart form."""
    requests = []
    for data in pictures:
        request = httpx.Request("POST", url + path, files={field: ("a.jpg", data, "image/jpeg")})
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        requests.append(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + request.read())
    return requests


def ask(url: str, field: str, pictures: list[bytes], connections: int, seconds: float) -> tuple[float, dict[str, int]]:
    """Good answers per second, and the statuses."""
    import asyncio

    load = Load(url, pictures)
    load.requests = forms(url, "/predict", field, pictures)
    asyncio.run(load.run(connections, seconds))
    return rate(load), {str(status): count for status, count in load.statuses.items()}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    options = parser.parse_args()
    pictures, limit = read_pictures(options.images), Limit(options.bundle, read_pictures(options.images))
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", "scripts.dispatcher_benchmark:Batched", "--port", str(port)]
    environment = {**os.environ, BUNDLE: str(options.bundle.resolve()), "BENTOML_DO_NOT_TRACK": "True"}
    with (
        tempfile.TemporaryDirectory() as folder,
        server(command, Path(folder) / "b.log", port, environment, cwd=ROOT) as theirs,
        bento_server(options.bundle, Path(folder) / "c.log", CONVOY_CACHE=folder, CONVOY_MAX_WAIT="25") as ours,
    ):
        for connections in (8, 32):
            for _ in range(options.rounds):
                reached = limit.per_second(available_cores(), options.seconds)
                row = {"connections": connections, "limit_per_second": round(reached, 1)}
                for name, url, field in (("bentoml", theirs.url, "images"), ("convoy", ours.url, "image")):
                    found, statuses = ask(url, field, pictures, connections, options.seconds)
                    row |= {name: round(found / reached, 3), f"{name}_statuses": statuses}  # type: ignore[dict-item]
                print(json.dumps(row), flush=True)
                time.sleep(0.5)


if __name__ == "__main__":
    main()

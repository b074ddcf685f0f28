"""`convoy predict --url` against a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from service.settings import Settings
from tests.convoy.command import Convoy, refused
from tests.service.conftest import Served, new_engine, served
from tests.serving import free_port

KEY = "a-key-that-is-long-enough"


@pytest.fixture(scope="module")
def locked(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(KEY)
    engine = new_engine()
    engine.start(Settings(models=tiny_bundle, batching="off", api_keys_file=keys)).join()
    with served(engine) as running:
        yield running
    engine.stop()


def test_a_service_answers_as_its_bundle_does(
    convoy: Convoy, tiny_bundle: Path, locked: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVOY_API_KEY", KEY)
    golden = tiny_bundle / "golden"
    local = convoy("predict", tiny_bundle, golden, "--json", "--top-k", 2)
    remote = convoy("predict", "--url", locked.url, golden, "--json", "--top-k", 2)
    assert remote.returncode == 0, remote.stderr
    assert [json.loads(line) for line in remote.stdout.splitlines()] == [
        json.loads(line) for line in local.stdout.splitlines()
    ]


def test_a_bad_file_is_one_row_and_a_missing_key_every_row(
    convoy: Convoy, tiny_bundle: Path, locked: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.png").write_bytes(b"hello")
    good = tiny_bundle / "golden" / "0.png"
    without = convoy("predict", "--url", locked.url, good, "--json")
    assert (without.returncode, "an API key is needed" in without.stdout) == (1, True)
    monkeypatch.setenv("CONVOY_API_KEY", KEY)
    result = convoy("predict", "--url", locked.url, tmp_path / "bad.png", good, "--json")
    first, second = map(json.loads, result.stdout.splitlines())
    assert result.returncode == 1
    assert "not an image" in first["error"]
    assert second["predictions"]


class Busy(BaseHTTPRequestHandler):
    asked = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        type(self).asked += 1
        prediction = {"label": "red", "index": 2, "probability": 1.0}
        body = json.dumps({"predictions": [prediction], "detail": "busy"}).encode()
        self.send_response(429 if self.asked == 1 else 200)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_a_busy_service_is_asked_again(convoy: Convoy, tiny_bundle: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    result = convoy("predict", "--url", url, tiny_bundle / "golden" / "0.png", "--json")
    server.shutdown()
    server.server_close()
    assert result.returncode == 0, result.stderr
    assert Busy.asked == 2


def test_what_is_no_service_is_said_on_one_line(convoy: Convoy, tiny_bundle: Path) -> None:
    picture = tiny_bundle / "golden" / "0.png"
    refused(convoy("predict", "--url", "127.0.0.1:3000", picture), "an address like http://127.0.0.1:3000")
    refused(convoy("predict", "--url", "http://a:b", picture), "an address like")
    refused(convoy("predict", tiny_bundle), "give a bundle and at least one image")
    dead = convoy("predict", "--url", f"http://127.0.0.1:{free_port()}", picture)
    assert dead.returncode == 1
    assert "no answer from a Convoy service there" in dead.stderr
    assert len(dead.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CONVOY_BATCHING", "many", "CONVOY_BATCHING: expected auto, off, small or a whole number from 1 to 256"),
        ("CONVOY_MAX_WAIT", "0", "CONVOY_MAX_WAIT: "),
        ("CONVOY_ARTEFACT", "int8", "no artefact 'int8' in this bundle"),
        ("CONVOY_API_KEYS_FILE", "/nowhere/keys", "CONVOY_API_KEYS_FILE: /nowhere/keys: cannot be read"),
    ],
)
def test_serve_refuses_a_wrong_setting_on_one_line(
    convoy: Convoy, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    refused(convoy("serve", tiny_bundle, "--port", free_port()), message)


def test_serve_refuses_a_folder_without_bundles(convoy: Convoy, tmp_path: Path) -> None:
    refused(convoy("serve", tmp_path), "no bundle in it", "NAME/VERSION/")

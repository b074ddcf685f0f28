"""The page for phones at /phone/: off unless asked for, and nothing but what its folder lists."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from export.phone_page import write_page
from service.errors import SettingInvalid
from service.phone import TYPES
from service.settings import Settings, read_settings
from tests.phone.building import RUNTIME, write_build
from tests.service.conftest import Served, new_engine, served


@pytest.fixture(scope="module")
def folder(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phone")
    write_page(tiny_bundle, root / "page", built=write_build(root / "dist"))
    (root / "secret.txt").write_text("hidden words")
    (root / "page" / "unlisted.txt").write_text("hidden words")
    return root / "page"


@pytest.fixture(scope="module")
def service(tiny_bundle: Path, folder: Path) -> Iterator[Served]:
    engine = new_engine()
    engine.start(Settings(models=tiny_bundle, batching="off", phone=folder)).join()
    with served(engine) as running:
        yield running
    engine.stop()


def raw(service: Served, path: str, encoding: str = "identity") -> httpx.Response:
    """The answer with its body as it was sent."""
    headers = {"Accept-Encoding": encoding}
    with httpx.stream("GET", f"{service.url}/phone/{path}", headers=headers) as response:
        response.raw = b"".join(response.iter_raw())  # type: ignore[attr-defined]
        return response


def test_it_is_off_by_default(tiny_service: Served) -> None:
    for path in ("/phone", "/phone/", "/phone/index.html"):
        assert tiny_service.get(path).status_code == 404


def test_a_listed_file_that_was_taken_away_is_not_found(service: Served, folder: Path) -> None:
    name = next(
        record["path"]
        for record in json.loads((folder / "manifest.json").read_text())["files"]
        if record["path"].endswith("labels.txt")
    )
    content = (folder / name).read_bytes()
    assert raw(service, name).status_code == 200
    (folder / name).unlink()
    try:
        assert raw(service, name).status_code == 404
    finally:
        (folder / name).write_bytes(content)


def test_the_address_without_a_slash_leads_to_the_page(service: Served) -> None:
    response = httpx.get(service.url + "/phone", follow_redirects=True)
    assert response.url.path == "/phone/"
    assert "<title>page</title>" in response.text


def test_every_listed_file_is_served_as_it_is(service: Served, folder: Path) -> None:
    for record in json.loads((folder / "manifest.json").read_text())["files"]:
        response = raw(service, record["path"])
        assert response.status_code == 200, record["path"]
        assert response.raw == (folder / record["path"]).read_bytes()  # type: ignore[attr-defined]
        expected = TYPES.get(Path(record["path"]).suffix, "application/octet-stream")
        assert response.headers["content-type"].partition(";")[0] == expected


def test_threads_and_the_browser_are_told_what_they_may(service: Served) -> None:
    headers = service.get("/phone/").headers
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert "'wasm-unsafe-eval'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("accepted", "coding", "body"),
    [
        ("gzip, deflate, br", "br", b"packed"),
        ("gzip;q=1.0, br;q=0", "gzip", gzip.compress(RUNTIME, mtime=0)),
        ("identity", None, RUNTIME),
        ("brotli, x-br", None, RUNTIME),
    ],
)
def test_the_smallest_encoding_that_is_taken(service: Served, accepted: str, coding: str | None, body: bytes) -> None:
    response = raw(service, "assets/ort-1.wasm", accepted)
    assert response.headers.get("content-encoding") == coding
    assert response.headers["vary"] == "Accept-Encoding"
    assert response.headers["content-type"] == "application/wasm"
    assert len(response.raw) == len(body)  # type: ignore[attr-defined]


def test_what_a_browser_has_is_not_sent_again(service: Served) -> None:
    first = raw(service, "bundle/manifest.json", "gzip")
    headers = {"Accept-Encoding": "gzip", "If-None-Match": f'"other", {first.headers["etag"]}'}
    again = httpx.get(f"{service.url}/phone/bundle/manifest.json", headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == "no-cache"
    assert "immutable" in raw(service, "assets/ort-1.wasm").headers["cache-control"]
    assert raw(service, "bundle/manifest.json", "br").headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "%2e%2e/secret.txt",
        "..%2fsecret.txt",
        "assets/../../secret.txt",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "unlisted.txt",
        "manifest.json",
        "assets",
        "assets/",
        "assets/ort-1.wasm.br",
        "%00",
        "index.html/",
    ],
)
def test_nothing_else_is_reached(service: Served, path: str) -> None:
    with socket.create_connection(("127.0.0.1", service.port)) as connection:  # httpx would tidy the path
        connection.sendall(f"GET /phone/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b" 404 " in answer.split(b"\r\n")[0]
    assert b"hidden words" not in answer


def test_other_methods_are_refused(service: Served) -> None:
    assert httpx.post(service.url + "/phone/index.html").status_code == 405
    head = httpx.head(service.url + "/phone/index.html")
    assert (head.status_code, head.content) == (200, b"")


def test_a_folder_of_another_kind_is_refused_at_start(tiny_bundle: Path, tmp_path: Path) -> None:
    for wrong in (tiny_bundle, tmp_path):
        with pytest.raises(SettingInvalid, match=r"CONVOY_PHONE: .* is not a folder that `convoy phone` wrote"):
            read_settings({"CONVOY_MODELS": str(tiny_bundle), "CONVOY_PHONE": str(wrong)})

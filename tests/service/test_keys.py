from __future__ import annotations

import base64
import os
from pathlib import Path

import httpx
import pytest

from service import keys as module
from service.errors import NotReady, SettingInvalid, Unauthorized
from service.keys import Keys
from service.settings import Settings
from tests.pictures import encode, plain
from tests.service.conftest import Served, new_engine, served

RED = encode(plain("red"))
KEY, OTHER = "a-key-that-is-long-enough", "another-key-long-enough"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [{"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}, {"authorization": basic(KEY)}, {"x-api-key": OTHER}],
)
def test_a_key_opens_in_every_form(tmp_path: Path, headers: dict[str, str]) -> None:
    Keys(write(tmp_path / "keys", "# ours", KEY, "", f"  {OTHER}  ")).check(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": KEY[:-1]},
        {"x-api-key": KEY + "x"},
        {"x-api-key": "# ours"},
        {"x-api-key": "# an indented comment"},
        {"authorization": KEY},
        {"authorization": "Basic ?"},
        {"authorization": basic("")},
        {"authorization": "Bearer é"},
    ],
)
def test_nothing_else_opens(tmp_path: Path, headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized):
        Keys(write(tmp_path / "keys", "# ours", "  # an indented comment", KEY)).check(headers)


def test_a_changed_file_is_read_again_and_a_broken_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.0)
    keys = Keys(write(tmp_path / "keys", KEY))
    for number, content in enumerate(([OTHER], [""], ["short"]), 1):
        os.utime(write(tmp_path / "keys", *content), (number, number))
        keys.check({"x-api-key": OTHER})
        with pytest.raises(Unauthorized):
            keys.check({"x-api-key": KEY})
    (tmp_path / "keys").unlink()
    keys.check({"x-api-key": OTHER})


@pytest.mark.parametrize(
    ("lines", "message"), [([], "no key in it"), (["# only"], "no key"), ([KEY, "short"], "line 2: a key of 16")]
)
def test_a_file_without_proper_keys_keeps_the_service_from_being_ready(
    tiny_bundle: Path, tmp_path: Path, lines: list[str], message: str
) -> None:
    file = write(tmp_path / "keys", *lines)
    with pytest.raises(SettingInvalid, match=message):
        Keys(file)
    engine = new_engine()
    engine.start(Settings(models=tiny_bundle, api_keys_file=file)).join()
    with pytest.raises(NotReady, match=f"CONVOY_API_KEYS_FILE: .*{message}"):
        engine.ready()


def test_without_its_keys_a_locked_service_answers_health_alone(tiny_bundle: Path, tmp_path: Path) -> None:
    engine = new_engine()
    engine.start(Settings(models=tiny_bundle, api_keys_file=tmp_path / "none")).join()
    with served(engine) as service:
        assert service.get("/livez").status_code == 200
        for path in ("/", "/metrics", "/models", "/docs.json"):
            assert service.get(path).status_code == 503


def test_keys_are_needed_even_where_the_bundles_are_broken(tmp_path: Path) -> None:
    engine = new_engine()
    engine.start(Settings(models=tmp_path / "none", api_keys_file=write(tmp_path / "keys", KEY))).join()
    with served(engine) as service:
        assert service.get("/metrics").status_code == 401
        assert httpx.get(service.url + "/metrics", headers={"x-api-key": KEY}).status_code == 200


@pytest.fixture(scope="module")
def locked(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory):
    file = write(tmp_path_factory.mktemp("keys") / "keys", KEY)
    engine = new_engine()
    engine.start(
        Settings(models=tiny_bundle, api_keys_file=file, batching="off", cors_origins=("https://a.example",))
    ).join()
    with served(engine) as running:
        yield running
    engine.stop()


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/v2/health/live", "/v2/health/ready"])
def test_health_needs_no_key(locked: Served, path: str) -> None:
    assert locked.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/models", "/metrics", "/docs.json", "/v2", "/nowhere", "/schema.json"])
def test_everything_else_does(locked: Served, path: str) -> None:
    response = locked.get(path)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Basic ")
    assert response.headers["content-type"] == "application/problem+json"
    assert httpx.get(locked.url + path, headers={"x-api-key": KEY}).status_code in (200, 404)
    assert locked.post(RED).status_code == 401
    assert locked.post(RED, headers={"x-api-key": KEY}).status_code == 200


def test_only_named_origins_may_ask(locked: Served, tiny_service: Served) -> None:
    preflight = {"origin": "https://a.example", "access-control-request-method": "POST"}
    allowed = httpx.options(locked.url + "/predict", headers=preflight)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://a.example")
    refused = httpx.options(locked.url + "/predict", headers={**preflight, "origin": "https://b.example"})
    assert "access-control-allow-origin" not in refused.headers
    off = httpx.post(tiny_service.url + "/predict", content=RED, headers={"origin": "https://a.example"})
    assert not [name for name in off.headers if name.startswith("access-control")]

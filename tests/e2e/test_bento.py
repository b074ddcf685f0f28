"""The Bento: built without an index's address and without torch, served from where it was built."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from bundle.folder import open_bundle
from tests.pictures import encode, plain
from tests.serving import free_port, server

ROOT = Path(__file__).resolve().parents[2]
RED = encode(plain("red"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with a BentoML store of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONVOY_")}
    return {**environment, "BENTOML_HOME": str(tmp_path_factory.mktemp("bentoml")), "BENTOML_DO_NOT_TRACK": "True"}


def command(*arguments: str, env: dict[str, str], cwd: Path = ROOT) -> str:
    result = subprocess.run([sys.executable, "-m", *arguments], env=env, cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def folder_of(tag: str, home: dict[str, str]) -> Path:
    return Path(home["BENTOML_HOME"]) / "bentos" / tag.replace(":", "/")


def check_content(bento: Path) -> None:
    """No torch, no index, nothing that serving does not need."""
    requirements = (bento / "env/python/requirements.txt").read_text()
    assert "onnxruntime==" in requirements
    for name in ("torch", "lightning", "nvidia-c", "locust", "pytest"):
        assert not re.search(rf"^{name}", requirements, re.MULTILINE), name
    for path in bento.rglob("*"):
        if path.is_file() and path.suffix in (".txt", ".sh", ".yaml", ".py", ".json"):
            assert not re.search(r"--(extra-)?index-url|https?://[^ ]*/simple", path.read_text()), path
    assert {path.name for path in (bento / "src").iterdir()} <= {"service", "bundle", "model", "bentofile.yaml"}
    assert not list(bento.rglob("__pycache__"))


def check_serving(tag: str, env: dict[str, str], tmp_path: Path, bundle_id: str) -> None:
    port = free_port()
    serve = [sys.executable, "-m", "bentoml", "serve", tag, "--host", "127.0.0.1", "--port", str(port)]
    with server(serve, tmp_path / "serve.log", port, env, cwd=tmp_path) as running:
        answer = httpx.post(f"{running.url}/predict", content=RED, timeout=30).json()
        assert (answer["bundle"], answer["predictions"][0]["label"]) == (bundle_id, "red")
        document = httpx.get(f"{running.url}/docs.json").json()
        assert "/predict" in document["paths"]
        assert "swagger" in httpx.get(f"{running.url}/docs").text.lower()
        assert "Drop a picture here" in httpx.get(running.url).text
        assert httpx.get(f"{running.url}/page.js").headers["content-type"].startswith("text/javascript")


def test_a_packaged_bundle_serves_from_inside_the_bento(
    tiny_bundle: Path, home: dict[str, str], tmp_path: Path
) -> None:
    import json

    # By a path that means something in this folder alone: BentoML builds in another.
    relative = os.path.relpath(tiny_bundle, ROOT)
    printed = json.loads(command("convoy.main", "package", relative, "--json", env=home))
    bento = folder_of(printed["bento"], home)
    check_content(bento)
    identity = open_bundle(tiny_bundle).id
    assert open_bundle(bento / "src" / "model").id == identity
    assert identity in (bento / "bento.yaml").read_text()
    check_serving(printed["bento"], home, tmp_path, identity)


def test_a_bento_without_a_bundle_takes_it_from_the_environment(
    tiny_bundle: Path, home: dict[str, str], tmp_path: Path
) -> None:
    tag = re.search(r"convoy:[a-z0-9]+", command("bentoml", "build", env=home))
    assert tag is not None
    bento = folder_of(tag[0], home)
    check_content(bento)
    assert not (bento / "src" / "model").exists()
    check_serving(tag[0], {**home, "CONVOY_MODELS": str(tiny_bundle)}, tmp_path, open_bundle(tiny_bundle).id)

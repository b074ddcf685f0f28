"""Clients of others, unmodified: Hugging Face's and BentoML's. Each in a process of its own, as their user has it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.pictures import encode, plain
from tests.service.conftest import Served
from tests.serving import patient_server

RED = encode(plain("red"))


def run(program: str, *arguments: str) -> str:
    result = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


HUGGING_FACE = """
import json, sys
from huggingface_hub import InferenceClient
client = InferenceClient(model=sys.argv[1])
for options in ({}, {"top_k": 1}):
    answer = client.image_classification(sys.argv[2], **options)
    print(json.dumps([[one.label, one.score] for one in answer]))
"""


def test_hugging_faces_client(tiny_service: Served, tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(RED)
    lines = run(HUGGING_FACE, tiny_service.url + "/hf/tiny", str(tmp_path / "red.png")).splitlines()
    every, first = map(json.loads, lines)
    expected = [[one["label"], one["probability"]] for one in tiny_service.post(RED).json()["predictions"]]
    assert every == expected
    assert first == expected[:1]


def test_the_raw_and_the_json_form(tiny_service: Served) -> None:
    raw = tiny_service.post(RED, "/hf/tiny").json()
    body = {"inputs": base64.b64encode(RED).decode(), "parameters": {"top_k": 3}}
    assert httpx.post(tiny_service.url + "/hf/tiny", json=body).json() == raw
    assert raw[0]["label"] == "red"
    assert tiny_service.post(RED, "/hf/nobody").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"inputs": 1}',
        b'{"inputs": "?"}',
        b'{"inputs": "\xc3\xa9"}',
        b"[" * 90_000,
        b'{"inputs": "", "parameters": {"top_k": 0}}',
        b'{"inputs": ""}',
    ],
)
def test_broken_json_is_400(tiny_service: Served, body: bytes) -> None:
    assert tiny_service.post(body, "/hf/tiny", headers={"content-type": "application/json"}).status_code == 400


BENTOML = """
import bentoml, json, sys
from pathlib import Path
picture = Path(sys.argv[2])
with bentoml.SyncHTTPClient(sys.argv[1]) as client:
    print(json.dumps(client.predict(image=picture, top_k=1)))
    print(json.dumps(client.predict_batch(images=[picture, picture], top_k=2)))
"""


def test_bentomls_client(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(RED)
    with patient_server(tiny_bundle, tmp_path / "log") as server:
        one, two = map(json.loads, run(BENTOML, server.url, str(tmp_path / "red.png")).splitlines())
    assert [prediction["label"] for prediction in one["predictions"]] == ["red"]
    assert [len(result["predictions"]) for result in two["results"]] == [2, 2]
    assert two["results"][0]["predictions"][0] == one["predictions"][0]

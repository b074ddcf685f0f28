"""The whole road on real pictures and real weights: folder → checkpoint → bundle → HTTP, the same answers."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from bundle.folder import open_bundle, open_checkpoint
from models.checkpoint import load_checkpoint
from models.data import read_training_data
from models.inference import logits_of, probabilities_of
from tests.service.test_hostile import allowed
from tests.serving import Server, patient_server


def convoy(*arguments: object) -> str:
    command = [sys.executable, "-m", "convoy.main", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def ask_all(server: Server, files: list[Path]) -> list[dict]:
    """Eight clients at once; the answers in the order of the files."""
    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(8) as pool:

        def ask(file: Path) -> dict:
            response = client.post(f"{server.url}/predict", content=file.read_bytes())
            assert response.status_code == 200, response.text
            return response.json()

        return list(pool.map(ask, files))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("road")


@pytest.fixture(scope="module")
def ants_bees(test_data: Path, workplace: Path) -> tuple[Path, float]:
    """The checkpoint of the ants and bees, and the seconds it took."""
    out = workplace / "runs" / "ants-bees"
    weights = test_data / "weights" / "mobilenet_v2_imagenet.safetensors"
    started = time.monotonic()
    data = test_data / "hymenoptera"
    convoy("train", "--arch", "mobilenet_v2", "--weights", weights, "--data", data, "--transfer", "head", "--out", out)
    return out, time.monotonic() - started


@pytest.fixture(scope="module")
def ants_bees_bundle(ants_bees: tuple[Path, float], workplace: Path) -> Path:
    out = workplace / "bundles" / "ants-bees"
    convoy("export", ants_bees[0], "--to", "onnx", "--out", out)
    return out


@pytest.fixture(scope="module")
def ants_bees_server(ants_bees_bundle: Path, workplace: Path) -> Iterator[Server]:
    with patient_server(ants_bees_bundle, workplace / "ants-bees.log") as running:
        yield running


def test_head_transfer_reaches_its_accuracy_in_time(ants_bees: tuple[Path, float]) -> None:
    out, seconds = ants_bees
    metrics = open_checkpoint(out).manifest.metrics
    assert metrics is not None
    print(f"ants and bees: validation top-1 {metrics.top1:.4f} of {metrics.n} in {seconds:.0f} s")
    assert metrics.top1 >= 0.92
    assert seconds < 240


def test_every_validation_picture_gets_pytorchs_answer(
    ants_bees: tuple[Path, float], ants_bees_server: Server, test_data: Path
) -> None:
    checkpoint = load_checkpoint(ants_bees[0])
    manifest = checkpoint.manifest
    pictures = read_training_data(test_data / "hymenoptera", validation_share=0.2, seed=0).validation
    logits = logits_of(checkpoint.network, manifest.preprocess, pictures.batches(manifest.preprocess))
    expected = probabilities_of(logits, manifest.temperature)
    answers = ask_all(ants_bees_server, [sample.path for sample in pictures.samples])
    assert len(answers) == 140
    for answer, probabilities in zip(answers, expected, strict=True):
        first = answer["predictions"][0]
        assert first["label"] == manifest.labels[probabilities.argmax()]
        assert first["probability"] == pytest.approx(float(probabilities.max()), abs=1e-4)


def test_hostile_files_meet_the_real_server(ants_bees_server: Server, test_data: Path) -> None:
    good = test_data / "hymenoptera" / "val" / "ants" / "8124241_36b290d372.jpg"
    good = good if good.exists() else next((test_data / "hymenoptera" / "val" / "ants").iterdir())
    before = ask_all(ants_bees_server, [good])
    with (test_data / "hostile_images.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            content = (test_data / row["file"]).read_bytes()
            raw = httpx.post(f"{ants_bees_server.url}/predict", content=content, timeout=60)
            form = {"image": (Path(row["file"]).name, content)}
            part = httpx.post(f"{ants_bees_server.url}/predict", files=form, timeout=60)
            assert raw.status_code == part.status_code, row["file"]
            assert raw.status_code in allowed(row), (row["file"], raw.text)
            assert ask_all(ants_bees_server, [good]) == before


def test_bentomls_client_works(ants_bees_server: Server, test_data: Path) -> None:
    # In a process of its own: BentoML patches what it imports for as long as it lives.
    picture = next((test_data / "hymenoptera" / "val" / "bees").iterdir())
    program = (
        "import bentoml, json, sys\nfrom pathlib import Path\n"
        "with bentoml.SyncHTTPClient(sys.argv[1]) as client:\n"
        "    print(json.dumps(client.predict(image=Path(sys.argv[2]), top_k=1)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, ants_bees_server.url, str(picture)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert [prediction["label"] for prediction in answer["predictions"]] == ["bees"]


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18"])
def test_pulled_networks_keep_their_classes_over_http(name: str, test_data: Path, workplace: Path) -> None:
    run, bundle = workplace / "runs" / name, workplace / "bundles" / name
    weights, labels = test_data / "weights" / f"{name}_imagenet.safetensors", test_data / "imagenet_classes.txt"
    convoy("pull", name, "--weights", weights, "--labels", labels, "--out", run)
    convoy("export", run, "--to", "onnx", "--data", test_data / "imagenet_sample.csv", "--out", bundle)
    with (test_data / "weights" / "expected_top1.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with patient_server(bundle, workplace / f"{name}.log") as server:
        answers = ask_all(server, [test_data / row["file"] for row in rows])
    flips = [
        row["file"]
        for row, answer in zip(rows, answers, strict=True)
        if answer["predictions"][0]["index"] != int(row[f"{name}_top1"])
    ]
    differences = [
        abs(answer["predictions"][0]["probability"] - float(row[f"{name}_prob"]))
        for row, answer in zip(rows, answers, strict=True)
        if row["file"] not in flips
    ]
    print(f"{name}: {len(flips)} flips of {len(rows)}, largest difference {max(differences):.1e}: {flips}")
    assert len(rows) == 300
    assert len(flips) <= 3
    assert max(differences) < 2e-3
    assert {answer["bundle"] for answer in answers} == {open_bundle(bundle).id}

"""Many requests: memory stays level, and nothing is left in the temporary folder."""

from __future__ import annotations

import csv
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.pictures import encode, noise, plain
from tests.service.test_hostile import allowed
from tests.serving import Server, patient_server

MOST_BYTES = 700_000_000
LEVEL_BYTES = 25_000_000
"""What the second half of the requests may add: allocators breathe."""

GOOD = [encode(noise(200 + 10 * number, 160, seed=number), ("JPEG", "PNG", "WEBP")[number % 3]) for number in range(12)]


def worker_of(server: Server) -> psutil.Process:
    children = psutil.Process(server.process.pid).children(recursive=True)
    (worker,) = [child for child in children if "worker" in str(child.cmdline())]
    return worker


def one(client: httpx.Client, number: int) -> int:
    """Every kind of request in turn, good and bad."""
    data, kind = GOOD[number % len(GOOD)], number % 6
    if kind == 0:
        response = client.post("/predict", files={"image": ("a.jpg", data), "top_k": (None, "2")})
    elif kind == 1:
        response = client.post("/predict_batch", files=[("images", data), ("images", b"bad"), ("images", data)])
    elif kind == 2:
        response = client.post("/hf/tiny", content=data)
    elif kind == 3:
        response = client.post("/predict", content=data[: len(data) // 2])
    elif kind == 4:
        response = client.post(f"/made-up-{number}", content=data, headers={"x-request-id": f"id-{number}"})
    else:
        response = client.post("/predict", content=data)
    assert response.status_code in ((422, 400) if kind == 3 else (404,) if kind == 4 else (200,)), response.text
    return response.status_code


def send(server: Server, count: int, first: int) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: one(client, number), range(first, first + count)))


def level(tiny_bundle: Path, tmp_path: Path, count: int) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with patient_server(tiny_bundle, tmp_path / "log", TMPDIR=str(temporary), CONVOY_ACCESS_LOG="off") as server:
        worker = worker_of(server)
        before = sorted(path.name for path in temporary.rglob("*"))
        sizes = []
        for part in range(4):
            send(server, count // 4, part * count // 4)
            sizes.append(worker.memory_info().rss)
        assert sorted(path.name for path in temporary.rglob("*")) == before
        deleted = [file.path for file in worker.open_files() if "(deleted)" in file.path]
        assert deleted == []
    print(f"{count} requests: resident {[round(size / 1e6, 1) for size in sizes]} MB")
    assert max(sizes) < MOST_BYTES
    assert sizes[3] - sizes[1] < LEVEL_BYTES


def test_memory_is_level_and_no_file_is_left(tiny_bundle: Path, tmp_path: Path) -> None:
    level(tiny_bundle, tmp_path, 2000)


@pytest.mark.slow
def test_memory_is_level_over_20000_requests(tiny_bundle: Path, tmp_path: Path) -> None:
    level(tiny_bundle, tmp_path, 20_000)


class Watch:
    """The largest resident size of a process while the block runs."""

    def __init__(self, process: psutil.Process) -> None:
        self.most = 0
        self._process, self._end = process, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._end.wait(0.005):
            self.most = max(self.most, self._process.memory_info().rss)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def test_hostile_files_side_by_side_stay_within_memory(tiny_bundle: Path, tmp_path: Path, test_data: Path) -> None:
    """Every hostile file at the same time as the others, twice; the good picture between them is answered each time."""
    with (test_data / "hostile_images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file)) * 2
    red = encode(plain("red"))
    with (
        patient_server(tiny_bundle, tmp_path / "log", CONVOY_MAX_WAIT="25") as server,
        Watch(worker_of(server)) as watch,
    ):

        def ask(row: dict[str, str]) -> str:
            with httpx.Client(base_url=server.url, timeout=60) as client:
                status = client.post("/predict", content=(test_data / row["file"]).read_bytes()).status_code
                good = client.post("/predict", content=red)
            assert good.json()["predictions"][0]["label"] == "red"
            return "" if status in allowed(row) else f"{row['file']}: {status}"

        started = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            wrong = [text for text in pool.map(ask, rows) if text]
        seconds = time.monotonic() - started
    print(f"{len(rows)} hostile files in {seconds:.1f} s: at most {watch.most / 1e6:.0f} MB resident")
    assert wrong == []
    assert watch.most < MOST_BYTES

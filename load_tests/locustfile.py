"""Posts real images to a running service and checks every answer.

    locust -f load_tests/locustfile.py --headless -u 8 -t 30s --host http://127.0.0.1:3000 --images PHOTOS

With `--expected answers.jsonl` (from `convoy predict BUNDLE PHOTOS --json`) each answer must be the bundle's own;
without it each picture is asked once before the load, and must be answered the same way under it.
locust exits with 1 when a request failed or an answer was wrong.
"""

from __future__ import annotations

import random
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import requests
from locust import FastHttpUser, constant, events, task
from locust.env import Environment

from load_tests.answers import Expected, WrongAnswer, check, find_images, first_of, read_expected


class Pictures:
    """The pictures of this run: their bytes and what they must be answered with."""

    def __init__(self, folder: Path, expected: Path | None, host: str) -> None:
        self.content = {path.name: path.read_bytes() for path in find_images(folder)}
        self.expected = read_expected(expected) if expected else self._ask(host)
        self.names = sorted(self.content.keys() & self.expected.keys())
        if not self.names:
            raise FileNotFoundError(f"{folder}: none of its images is in {expected}")

    def _ask(self, host: str) -> dict[str, Expected]:
        answers = {}
        for name, content in self.content.items():
            response = requests.post(f"{host}/predict", data=content, timeout=30)
            if response.ok:
                answers[name] = first_of(response.json())
        return answers


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    """Options of this file, beside locust's own."""
    parser.add_argument("--images", default="demo/digits", help="A folder of images.")
    parser.add_argument("--expected", default="", help="What `convoy predict BUNDLE IMAGES --json` printed.")


pictures: list[Pictures] = []


@events.test_start.add_listener
def read_pictures(environment: Environment, **_: Any) -> None:
    """Once per process, before the first user."""
    options = environment.parsed_options
    if options is None or environment.host is None:
        raise ValueError("--host is missing: the address of the service")
    expected = Path(options.expected) if options.expected else None
    try:
        pictures[:] = [Pictures(Path(options.images), expected, environment.host)]
    except (OSError, ValueError, WrongAnswer) as error:
        if environment.web_ui is not None:
            raise  # locust tells it in its log, and its page goes on
        raise SystemExit(f"error: {' '.join(str(error).split())}") from error


class Client(FastHttpUser):
    """One client that waits for each answer before it asks again (a closed loop)."""

    wait_time = constant(0)

    def on_start(self) -> None:
        self.random = random.Random(0)

    @task(3)
    def raw(self) -> None:
        """The image as the body."""
        name = self.random.choice(pictures[0].names)
        self._post(name, "raw", data=pictures[0].content[name])

    @task(1)
    def multipart(self) -> None:
        """The image as the form field `image`."""
        name = self.random.choice(pictures[0].names)
        self._post(name, "multipart", files={"image": (name, pictures[0].content[name])})

    def _post(self, name: str, kind: str, **body: Any) -> None:
        with self.client.post("/predict", name=f"/predict {kind}", catch_response=True, **body) as response:
            if response.status_code != 200:
                response.failure(f"status {response.status_code}")
                return
            try:
                check(response.json(), pictures[0].expected[name])
            except (WrongAnswer, ValueError) as error:
                response.failure(f"{name}: {error}")

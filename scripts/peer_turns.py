"""One server's turn under load with every answer checked, and what the turns of several rounds come to."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from bundle.cores import available_cores
from load_tests.answers import Expected, WrongAnswer, check
from load_tests.closed_loop import Exchange, Load, quantile

RAMP = 0.5
"""Seconds at the start of a turn that do not count at least: connections open and queues fill."""
LONGEST_RAMP = 30.0
"""A server that leaves one of its first requests waiting for so long is counted from then on."""

ANSWERS_EACH = 8
"""Answers to each connection that a turn is long enough for: what happens once, when it begins or where a request is
open at its end, is a small part of it."""

REFUSALS = ("429", "503")
"""Statuses by which a server says that it has enough to do."""


class Answered(Exchange):
    """A connection of `load` that keeps the body of every 200, to be looked at after the turn."""

    def __init__(self, load: CheckedLoad) -> None:
        super().__init__()
        self._load = load

    async def ask(self, request: bytes) -> int:
        self._load.open[self] = time.perf_counter()
        self._load.asked += 1
        first = self._load.asked <= self._load.connections
        try:
            status = await super().ask(request)
        finally:
            del self._load.open[self]
            self._load.first_answers += first
            self._load.moved.set()
        if status == 200:
            self._load.bodies.append((request, bytes(self._buffer).partition(b"\r\n\r\n")[2]))
        return status


class CheckedLoad(Load):
    """The closed loop without health probes, whose requests are given and whose answers are kept.

    begin, end_of_window: when it counted, by `time.perf_counter`.
    """

    def __init__(self, url: str, requests: list[bytes]) -> None:
        super().__init__(url, [])
        self.requests = requests
        self.probes = {}
        self.bodies: list[tuple[bytes, bytes]] = []
        self.open: dict[Answered, float] = {}
        """When each request that waits for its answer was sent."""
        self.moved = asyncio.Event()
        self.connections = self.asked = self.first_answers = 0
        self.begin = self.end_of_window = 0.0

    async def run(self, connections: int, seconds: float) -> None:
        """Keep `connections` busy until each had its first answer; for so long; and until all of that is answered.

        Before, those that came first waited less than anybody will again. After, a server that works on all requests
        at once would be faster with the last ones if nobody asked any more.
        """
        self.connections, started = connections, time.perf_counter()
        running = asyncio.create_task(super().run(connections, float("inf")))
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_RAMP):
                await self._until(lambda: self.first_answers == connections)
        self.begin = max(time.perf_counter(), started + RAMP)
        self.end_of_window = self.begin + seconds
        await asyncio.sleep(self.end_of_window - time.perf_counter())
        await self._until(lambda: all(sent >= self.end_of_window for sent in self.open.values()))
        self.end()
        await running

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self.moved.clear()
            await self.moved.wait()

    async def _connect(self) -> Exchange:
        loop = asyncio.get_running_loop()
        _, exchange = await loop.create_connection(lambda: Answered(self), self.host, self.port)
        return exchange


@dataclass(frozen=True)
class Turn:
    """One server's part of a round. `wrong` counts answers with 200 that are not the picture's.

    cpu_ms: the server's processor time for each answer, whoever else had the cores.
    """

    images_per_second: float
    latencies_ms: list[float]
    statuses: dict[str, int]
    wrong: int
    generator_share: float
    cpu_ms: float | None = None


def as_bytes(request: httpx.Request) -> bytes:
    """The request as it goes over the wire."""
    body = request.read()
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"{request.method} {request.url.raw_path.decode()} HTTP/1.1\r\n{head}\r\n".encode() + body


def take_turn(url: str, requests: list[bytes], expected: list[Expected], connections: int, seconds: float) -> Turn:
    """Keep `connections` busy and count for so long; `expected[i]` is the answer to `requests[i]`."""
    load = CheckedLoad(url, requests)
    busy, started = time.process_time(), time.perf_counter()
    asyncio.run(load.run(connections, seconds))
    share = (time.process_time() - busy) / (time.perf_counter() - started) / available_cores()
    return turn_of(load, dict(zip(requests, expected, strict=True)), share)


def turn_of(load: CheckedLoad, answers: dict[bytes, Expected], share: float) -> Turn:
    """What counts are good answers within the load's window; what is checked is every one.

    A request counts by the part of its time that lies between: whole answers would be off by as many as are open at
    the same time, and a server that works on all of those together, or in batches, answers many in one moment.
    """
    begin, end = load.begin, load.end_of_window
    inside = [took for when, took in load.good if begin <= when < end]
    counted = sum(max(0.0, min(when, end) - max(when - took, begin)) / took for when, took in load.good if took > 0)
    return Turn(
        images_per_second=counted / (end - begin),
        latencies_ms=[1000 * took for took in inside],
        statuses={str(status): count for status, count in sorted(load.statuses.items())},
        wrong=sum(not is_right(body, answers[request]) for request, body in load.bodies),
        generator_share=share,
    )


def is_right(body: bytes, expected: Expected) -> bool:
    """Whether an answer, alone or as the one element of a list, is the picture's."""
    try:
        answer = json.loads(body)
        check(answer[0] if isinstance(answer, list) and len(answer) == 1 else answer, expected)
    except (ValueError, WrongAnswer):
        return False
    return True


def turn_seconds(connections: int, limit: float, at_least: float) -> float:
    """How long a turn has to be where the machine answers `limit` pictures a second at most."""
    return max(at_least, round(ANSWERS_EACH * connections / limit, 1))


def order(names: Sequence[str], turn: int) -> list[str]:
    """Who comes when in round `turn`: each round begins one further, and every other round runs backwards.

    So nobody always follows the same neighbour, or always comes first.
    """
    start = turn % len(names) if names else 0
    turned = [*names[start:], *names[:start]]
    return turned if turn % 2 == 0 else turned[::-1]


def median(values: Sequence[float], digits: int) -> float:
    """Rounded."""
    return round(statistics.median(values), digits)


def summary(turns: list[Turn], limits: list[float]) -> dict[str, Any]:
    """One server's rounds; `limits[i]` is the limit measured in the same round as `turns[i]`."""
    rates = [turn.images_per_second for turn in turns]
    shares = [rate / limit for rate, limit in zip(rates, limits, strict=True)]
    latencies = [took for turn in turns for took in turn.latencies_ms]
    statuses: Counter[str] = Counter()
    for turn in turns:
        statuses.update(turn.statuses)
    costs = [turn.cpu_ms for turn in turns if turn.cpu_ms is not None]
    refused = sum(statuses[status] for status in REFUSALS)
    return {
        "images_per_second": median(rates, 1),
        "rounds_images_per_second": [round(rate, 1) for rate in rates],
        "share_of_limit": median(shares, 3),
        "rounds_share_of_limit": [round(share, 3) for share in shares],
        "p50_ms": _rounded(quantile(latencies, 0.5)),
        "p99_ms": _rounded(quantile(latencies, 0.99)),
        "answers": statuses["200"],
        "wrong_answers": sum(turn.wrong for turn in turns),
        "refused": refused,
        "errors": sum(statuses.values()) - statuses["200"] - refused,
        "statuses": dict(sorted(statuses.items())),
        "cpu_ms_per_answer": median(costs, 2) if costs else None,
        "generator_share_of_cores": median([turn.generator_share for turn in turns], 3),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def best_peer(servers: dict[str, dict[str, Any]], ours: Collection[str]) -> str | None:
    """Whose median share of the limit is the largest, without wrong answers; None where no peer ran."""
    right = [name for name, row in servers.items() if name not in ours and not row["wrong_answers"]]
    return max(right, key=lambda name: servers[name]["share_of_limit"], default=None)


def ratio(servers: dict[str, dict[str, Any]], ours: str, peer: str) -> float | None:
    """The median over the rounds of our images per second to the peer's in the same round."""
    pairs = zip(*(servers[name]["rounds_images_per_second"] for name in (ours, peer)), strict=True)
    ratios = [mine / theirs for mine, theirs in pairs if theirs]
    return median(ratios, 2) if ratios else None

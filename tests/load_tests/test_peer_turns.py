"""What of a server's turn counts: from when its queue is as long as it will be, until all of that is answered."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable

import pytest

from load_tests.answers import Expected
from scripts.peer_turns import CheckedLoad, turn_of

ANSWER = {"predictions": [{"label": "red", "probability": 0.9}]}


def test_answers_count_within_the_window_and_are_checked_outside_it_too() -> None:
    load = CheckedLoad("http://127.0.0.1:1", [b"one"])
    load.good = [(100.2, 0.1), (101.0, 0.2), (101.9, 0.3), (102.1, 0.4), (102.4, 0.4)]
    load.statuses.update({200: 5})
    load.bodies = [(b"one", json.dumps(ANSWER).encode())] * 3 + [(b"one", b"{}")]
    load.begin, load.end_of_window = 100.5, 102.0
    found = turn_of(load, {b"one": Expected("red", 0.9)}, 0.01)
    assert found.images_per_second == pytest.approx(2.75 / 1.5)
    assert found.latencies_ms == [200, 300]
    assert found.wrong == 1


@pytest.mark.parametrize("seconds", [2.0, 2.3, 2.7])
def test_a_server_that_answers_all_at_once_gets_its_rate_whenever_the_window_ends(seconds: float) -> None:
    load = CheckedLoad("http://127.0.0.1:1", [b"one"])
    load.good = [(100 + 0.8 * burst, 0.8) for burst in range(1, 6) for _ in range(8)]
    load.begin, load.end_of_window = 100.8, 100 + seconds
    assert turn_of(load, {}, 0.01).images_per_second == pytest.approx(10)


@pytest.mark.parametrize("connections", [1, 8, 64])
@pytest.mark.parametrize("seconds", [2.0, 2.7])
def test_a_server_with_a_queue_gets_its_rate_however_long_its_queue(connections: int, seconds: float) -> None:
    load = CheckedLoad("http://127.0.0.1:1", [b"one"])
    # 25 a second, first come, first served: all ask at once, and each again when it has its answer.
    load.good = [(100 + number / 25, min(number, connections) / 25) for number in range(1, 400)]
    load.begin = 100 + connections / 25
    load.end_of_window = load.begin + seconds
    assert turn_of(load, {}, 0.01).images_per_second == pytest.approx(25)


async def run(load: CheckedLoad, connections: int, hold: Callable[[int], Awaitable[None]]) -> None:
    """The load against a server that answers request `n`, in order of arrival, when `hold(n)` lets it."""
    numbers = itertools.count()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            await reader.readline()
            await hold(next(numbers))
            await asyncio.sleep(0.005)  # or the neighbour would ask thousands of times
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        load.port = server.sockets[0].getsockname()[1]
        await asyncio.wait_for(load.run(connections, 0.1), 20)


def get_load() -> CheckedLoad:
    return CheckedLoad("http://127.0.0.1:1", [b"GET / HTTP/1.1\r\n\r\n"])


def test_counting_begins_when_every_connection_had_an_answer() -> None:
    async def scenario() -> None:
        load, slow = get_load(), asyncio.Event()

        async def hold(number: int) -> None:
            if number == 0:
                await slow.wait()
            elif number == 200:  # a second of the neighbour's: twice the shortest ramp
                assert load.begin == 0
                slow.set()

        await run(load, 2, hold)
        (first, *_) = sorted(load.good, key=lambda each: each[0] - each[1])
        assert load.begin > first[0]
        assert load.end_of_window == pytest.approx(load.begin + 0.1)

    asyncio.run(scenario())


def test_the_load_goes_on_until_all_that_was_open_has_its_answer() -> None:
    async def scenario() -> None:
        load, late, held = get_load(), asyncio.Event(), []

        async def hold(number: int) -> None:
            # One of the window is answered when somebody still asks after the end.
            if load.begin and not held:
                held.append(number)
                await late.wait()
            elif load.begin and time.perf_counter() > load.end_of_window:
                late.set()

        await run(load, 2, hold)
        assert set(load.statuses) == {200}
        assert held
        assert late.is_set()

    asyncio.run(scenario())

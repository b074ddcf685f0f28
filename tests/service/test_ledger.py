from __future__ import annotations

import asyncio
import logging

import pytest

from service.ledger import LONGEST, MOST, Ledger


def test_entries_are_written_together_and_in_their_order() -> None:
    async def run() -> list[list[int]]:
        ledger, written, seen = Ledger(), [], []
        for number in range(5):
            ledger.enter(written.append, number)
            seen.append(list(written))
        done = asyncio.Event()
        ledger.enter(done.set)
        await asyncio.wait_for(done.wait(), 10)
        return [*seen, written]

    assert asyncio.run(run()) == [[]] * 5 + [[0, 1, 2, 3, 4]]


def test_many_entries_are_written_at_once() -> None:
    async def run() -> list[int]:
        ledger, written = Ledger(), []
        for number in range(MOST + 1):
            ledger.enter(written.append, number)
        return written

    assert asyncio.run(run()) == list(range(MOST))


def test_an_entry_that_fails_takes_no_other_one_with_it(caplog: pytest.LogCaptureFixture) -> None:
    written: list[int] = []

    def fail() -> None:
        raise ZeroDivisionError

    async def run() -> None:
        ledger = Ledger()
        for number in range(3):
            ledger.enter(fail if number == 1 else written.append, *([] if number == 1 else [number]))
        ledger.book()

    with caplog.at_level(logging.ERROR, "convoy.service"):
        asyncio.run(run())
    assert written == [0, 2]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


def test_a_ledger_outlives_its_loop_and_can_be_closed_without_one() -> None:
    ledger, written = Ledger(), []

    async def enter(text: str) -> None:
        ledger.enter(written.append, text)

    asyncio.run(enter("first"))
    assert written == []

    async def again() -> None:
        await enter("second")
        await asyncio.sleep(0)
        done = asyncio.Event()
        ledger.enter(done.set)
        await asyncio.wait_for(done.wait(), 100 * LONGEST)

    asyncio.run(again())
    assert written == ["first", "second"]
    asyncio.run(enter("third"))
    ledger.close()
    assert written == ["first", "second", "third"]

"""A client that leaves takes its work with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")

UNWATCHED = 0.25
"""Seconds until somebody looks whether the client is still there: to look takes a task of its own, and an eighth of the
event loop's time for a request. Many have their answer by then."""


async def unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client has closed the connection: UNWATCHED after the call at
    the soonest, and what is done by then is answered, whether anybody reads it or not.

    Only once the whole body was read: what arrives then can only be the end. Raises: ClientDisconnect.
    """
    # The work runs in the caller's own task: a task for it would be one more to make and to wait for, per request.
    working = asyncio.current_task()
    assert working is not None
    left = False

    def gone(_: asyncio.Task[None]) -> None:
        nonlocal left
        left = True
        working.cancel()

    leaving: asyncio.Task[None] | None = None

    def watch() -> None:
        nonlocal leaving
        leaving = asyncio.create_task(_left(request))
        leaving.add_done_callback(gone)

    begin = asyncio.get_running_loop().call_later(UNWATCHED, watch)
    try:
        return await work
    except asyncio.CancelledError:
        if left and working.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        begin.cancel()
        if leaving is not None:
            leaving.remove_done_callback(gone)
            leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

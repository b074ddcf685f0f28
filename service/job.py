"""One picture on its way from the event loop through the threads and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import Overloaded
from service.explanation import Explain, Explained, Map
from service.patience import Patience

Shape = Callable[[NDArray[np.float32]], Any]
"""float32 [K] probabilities → the answer, made on a thread and not on the event loop."""

STAGES = ("queue", "decode", "preprocess", "infer", "explain")


LATE = 1.25
"""Times the wait that is allowed by expectation."""
_NOT_YET = np.empty((0, 0, 3), np.uint8)


class Job:
    """`source` is an encoded picture, or its uint8 [H, W, 3] tensor. Made on the event loop that waits for it.

    `explain`: the answer is to be `Explained`, from the picture's `extent` (width, height) and its class map.
    `first` is the first picture of the same request, unless this is it: they are worked off in their order.
    `alone`: no other one waited when its pixels were ready. `together`: how many shared its call of the runtime.
    `seconds` has one entry for each of STAGES that it went through, `last` the latest addition. `give` or `fail`
    says what becomes of it, and `settle`, on the loop, ends it.
    """

    def __init__(
        self,
        source: bytes | NDArray[np.uint8],
        patience: Patience,
        shape: Shape,
        first: Job | None = None,
        explain: Explain | None = None,
    ) -> None:
        self.source = source
        self.pixels: NDArray[np.uint8] = _NOT_YET
        self.extent = (0, 0)
        self.explain = explain
        self.probabilities: NDArray[np.float32] | None = None
        self.seconds: dict[str, float] = {}
        self.last = 0.0
        self.alone = False
        self.together = 1
        self.size = len(source) if isinstance(source, bytes) else source.nbytes
        self._deadline = patience.deadline()
        self._patience = patience
        self._shape = shape
        self._left = time.perf_counter()
        self._abandoned = False
        self._first = first
        self._waited: float | None = None
        self._answer: Any = None
        self._error: BaseException | None = None
        self.loop = asyncio.get_running_loop()
        self._future: asyncio.Future[Any] = self.loop.create_future()

    async def answer(self) -> Any:
        """The answer. Raises: DeadlinePassed or OwnDeadlinePassed, whatever `fail` was given."""
        try:
            async with asyncio.timeout(max(0.0, self._deadline - time.monotonic())):
                return await self._future
        except TimeoutError as error:
            raise self._patience.passed() from error

    def abandon(self) -> None:
        """Nobody waits any more: out of every queue that it is still in."""
        self._abandoned = True

    def wanted(self) -> bool:
        """False once nobody waits any more or the deadline has passed: such a job is not to be worked on."""
        if not self._abandoned and time.monotonic() > self._deadline:
            self.fail(self._patience.passed())
            self.abandon()
        return not self._abandoned

    def refuse_late(self) -> None:
        """Raises: Overloaded, when it waited much longer than was expected as it was let in.

        An answer that comes too late for whoever asked costs the next one its time. What counts is when the turn
        of its request came: from then on its pictures wait for each other only.
        """
        self._waited = waited = self.seconds.get("queue", 0.0)
        if self._first is not None and self._first._waited is not None:
            waited = min(waited, self._first._waited)
        if waited > LATE * self._patience.max_wait:
            raise Overloaded("late", f"it took {waited:.2g} s until its turn came", 1.0, self._patience.left())

    def mark(self, stage: str) -> None:
        """The time since the last mark was spent in `stage`."""
        now = time.perf_counter()
        self.last = now - self._left
        self.seconds[stage] = self.seconds.get(stage, 0.0) + self.last
        self._left = now

    def give(self, probabilities: NDArray[np.float32], class_map: Map | None = None) -> None:
        """Let it end with the answer made of float32 [K], and of the map if it is to be explained; from any thread."""
        self.probabilities = probabilities
        try:
            self._answer = self._shape(probabilities)
            if self.explain is not None and class_map is not None:
                self._answer = Explained(self._answer, self.explain(probabilities, class_map, self.extent))
                self.mark("explain")
        except Exception as error:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Let it end with an error; from any thread."""
        self._error = self._error or error

    def settle(self) -> None:
        """Hand what `give` or `fail` was told to whoever waits: on the event loop, once."""
        if self._future.done():
            return
        if self._error is None:
            self._future.set_result(self._answer)
            return
        self._future.set_exception(self._error)
        self._future.exception()  # a client that left is no "exception was never retrieved"

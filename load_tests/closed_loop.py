"""Many connections that each wait for an answer and ask again at once, for a fraction of locust's cost per request.

    python -m load_tests.closed_loop http://127.0.0.1:3000 --images photos --connections 256 --seconds 20

Beside the load it asks /livez and /readyz ten times a second on connections of their own. Prints JSON: statuses,
good answers per second, their latency, and the slowest health answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
PROBE_SECONDS = 0.1


class Exchange(asyncio.Protocol):
    """One connection: `ask` sends a request and waits for the whole answer."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, request: bytes) -> int:
        """The status; 0 when nothing could be sent, -1 when the connection ended without an answer."""
        self._buffer.clear()
        self._answer = asyncio.get_running_loop().create_future()
        if self.closed or self._transport is None:
            return 0
        self._transport.write(request)
        return await asyncio.wait_for(self._answer, ANSWER_SECONDS)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or self._answer is None or self._answer.done():
            return
        length = next(
            (line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")),
            b"0",
        )
        if len(body) >= int(length):
            if b"\r\nconnection: close" in head.lower() and self._transport is not None:
                self.closed = True
                self._transport.close()
            self._answer.set_result(int(head[9:12]))

    def connection_lost(self, _: Exception | None) -> None:
        self.closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(-1)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class Load:
    """Closed loops against one address, and what became of every request."""

    def __init__(self, url: str, pictures: list[bytes], path: str = "/predict") -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        head = f"Host: {parts.netloc}\r\nContent-Type: application/octet-stream\r\n"
        self.requests = [
            f"POST {path} HTTP/1.1\r\n{head}Content-Length: {len(data)}\r\n\r\n".encode() + data for data in pictures
        ]
        self.probes = {name: f"GET {name} HTTP/1.1\r\n{head}\r\n".encode() for name in ("/livez", "/readyz")}
        self.statuses: Counter[int] = Counter()
        self.good: list[tuple[float, float]] = []
        """(when it was answered, seconds) of every 200."""
        self.heeds_readiness = False
        """Send nothing new once /readyz says 503, as a load balancer would."""
        self._unready = self._ended = False
        self.health: list[tuple[float, float, int]] = []
        """(when, seconds, status) of every probe."""

    @property
    def lost(self) -> int:
        """Requests that were sent and never answered."""
        return self.statuses[-1]

    def end(self) -> None:
        """Send nothing new, however many seconds are left; from any thread."""
        self._ended = True

    async def run(self, connections: int, seconds: float) -> None:
        """Keep `connections` busy for so long, or until `end`; then let the running requests finish."""
        until = time.perf_counter() + seconds
        probes = [asyncio.create_task(self._probe(name, until)) for name in self.probes]
        await asyncio.gather(*(self._client(number, until) for number in range(connections)), *probes)

    async def _connect(self) -> Exchange:
        loop = asyncio.get_running_loop()
        opening = loop.create_connection(Exchange, self.host, self.port)
        _, exchange = await asyncio.wait_for(opening, CONNECT_SECONDS)
        return exchange

    async def _client(self, number: int, until: float) -> None:
        exchange: Exchange | None = None
        while (started := time.perf_counter()) < until and not self._unready and not self._ended:
            try:
                if exchange is None or exchange.closed:
                    exchange = await self._connect()
                number += 1
                status = await exchange.ask(self.requests[number % len(self.requests)])
            except (OSError, TimeoutError):
                status, exchange = 0, None
                await asyncio.sleep(PROBE_SECONDS)
            self.statuses[status] += 1
            if status == 200:
                now = time.perf_counter()
                self.good.append((now, now - started))
        if exchange is not None:
            exchange.close()

    async def _probe(self, name: str, until: float) -> None:
        exchange: Exchange | None = None
        while (started := time.perf_counter()) < until and not self._ended:
            try:
                if exchange is None or exchange.closed:
                    exchange = await self._connect()
                status = await exchange.ask(self.probes[name])
            except (OSError, TimeoutError):
                status, exchange = 0, None
            now = time.perf_counter()
            self.health.append((now, now - started, status))
            self._unready |= self.heeds_readiness and status == 503
            await asyncio.sleep(PROBE_SECONDS)
        if exchange is not None:
            exchange.close()


def quantile(values: list[float], share: float) -> float | None:
    """The value below which `share` of them lie; None of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def summary(load: Load, seconds: float) -> dict[str, Any]:
    """What happened, times in milliseconds."""
    latencies = [1000 * each for _, each in load.good]
    return {
        "statuses": {str(status): count for status, count in sorted(load.statuses.items())},
        "good_per_second": round(len(load.good) / seconds, 2),
        **{f"p{round(100 * share)}_ms": quantile(latencies, share) for share in (0.5, 0.95, 0.99)},
        "health_worst_ms": max((1000 * each for _, each, _ in load.health), default=None),
        "health_failed": sum(status != 200 for _, _, status in load.health),
    }


def read_pictures(folder: Path, most: int = 200) -> list[bytes]:
    """The bytes of the folder's images, in the order of their names."""
    names = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    pictures = [path.read_bytes() for _, path in zip(range(most), names, strict=False)]
    if not pictures:
        raise SystemExit(f"{folder}: no images there")
    return pictures


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--path", default="/predict")
    options = parser.parse_args()
    load = Load(options.url, read_pictures(options.images), options.path)
    started = time.perf_counter()
    asyncio.run(load.run(options.connections, options.seconds))
    print(json.dumps(summary(load, time.perf_counter() - started), indent=2))


if __name__ == "__main__":
    main()

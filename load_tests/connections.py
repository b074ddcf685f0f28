"""HTTP connections of one generator process: bytes out, a reply back, at a fraction of a client library's cost.

The sockets are gevent's and the parser is the one of locust's own FastHttpUser (geventhttpclient, llhttp); what is
left away is what a load test does not need for every request: building headers, cookies, redirects, retries.
"""

from __future__ import annotations

import errno
import time

import gevent
import gevent.socket
import gevent.ssl
from geventhttpclient.response import HTTPParseError, HTTPSocketResponse

from load_tests.outcome import Reply
from load_tests.phase import CUT, LATE, NOT_SENT, UNREACHED
from load_tests.target import Target

CONNECT_SECONDS = 5.0
IDLE_SECONDS = 2.0
"""Older connections are not used again: servers hang up on idle ones (uvicorn after 5 seconds), and what is sent at
that very moment is lost, which says nothing of the load."""


class Failed(Exception):
    """A request without a reply; `outcome` says which way."""

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


class Connections:
    """Keeps what is idle and opens what is needed."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._idle: list[tuple[gevent.socket.socket, float]] = []
        self._tls = gevent.ssl.create_default_context() if target.tls else None

    def ask(self, request: bytes, seconds: float) -> Reply:
        """Send and wait for the whole answer, `seconds` at most. Raises: Failed."""
        deadline = gevent.Timeout(seconds)
        sock = None
        try:
            with deadline:
                sock = self._take()
                reply, keep = exchange(sock, request)
        except gevent.Timeout as passed:
            if passed is not deadline:
                raise
            self._drop(sock)
            raise Failed(LATE, f"none within {seconds:g} s") from None
        except (OSError, HTTPParseError) as error:
            self._drop(sock)
            raise Failed(_outcome(error, connected=sock is not None), str(error) or type(error).__name__) from error
        except BaseException:
            self._drop(sock)
            raise
        if keep:
            self._idle.append((sock, time.monotonic()))
        else:
            self._drop(sock)
        return reply

    def close(self) -> None:
        """Hang up."""
        while self._idle:
            self._drop(self._idle.pop()[0])

    def _take(self) -> gevent.socket.socket:
        while self._idle:
            sock, since = self._idle.pop()
            if time.monotonic() - since < IDLE_SECONDS and not readable(sock):
                return sock
            # The other side has hung up in the meantime: nothing was lost, as nothing was asked.
            self._drop(sock)
        address = (self._target.host, self._target.port)
        sock = gevent.socket.create_connection(address, timeout=CONNECT_SECONDS)
        sock.settimeout(None)
        sock.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
        return self._tls.wrap_socket(sock, server_hostname=self._target.host) if self._tls else sock

    @staticmethod
    def _drop(sock: gevent.socket.socket | None) -> None:
        if sock is not None:
            sock.close()


def exchange(sock: gevent.socket.socket, request: bytes) -> tuple[Reply, bool]:
    """One request and its reply; whether the connection can be used again. Raises: OSError, HTTPParseError."""
    sent = True
    try:
        sock.sendall(request)
    except OSError:
        # A server may refuse before it has read the body, and hang up: its answer is still to be read.
        sent = False
    response = HTTPSocketResponse(sock, method="POST", block_size=16384)
    body = response.read()
    if not response.message_complete:
        raise HTTPParseError("the connection ended within the answer")
    return Reply(response.status_code, body), sent and not response.should_close()


def readable(sock: gevent.socket.socket) -> bool:
    """Whether an idle connection has ended, or has bytes that nobody asked for."""
    sock.setblocking(False)
    try:
        sock.recv(1)
    except (BlockingIOError, gevent.ssl.SSLWantReadError):
        return False
    except OSError:
        pass
    finally:
        sock.settimeout(None)
    return True


def _outcome(error: Exception, *, connected: bool) -> str:
    """Whose fault it is: a service that takes no more connections for a while is late, and not gone."""
    if connected:
        return CUT
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL):
        return NOT_SENT  # this machine has no more of them
    return LATE if isinstance(error, TimeoutError) else UNREACHED

"""Whose fault it is that a connection cannot be made."""

from __future__ import annotations

import errno

import pytest

from load_tests.connections import Connections, Failed
from load_tests.phase import LATE, NOT_SENT, UNREACHED
from load_tests.target import Target


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), UNREACHED),
        (TimeoutError("timed out"), LATE),
        (OSError(errno.EMFILE, "too many open files"), NOT_SENT),
        (OSError(errno.EADDRNOTAVAIL, "no port is free"), NOT_SENT),
    ],
)
def test_a_service_is_gone_or_late_or_this_machine_has_no_more(
    error: OSError, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("gevent.socket.create_connection", fail)
    with pytest.raises(Failed) as failed:
        Connections(Target("http://127.0.0.1:1")).ask(b"", 1.0)
    assert failed.value.outcome == outcome

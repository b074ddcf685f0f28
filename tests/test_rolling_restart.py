"""What scripts/rolling_restart.py makes of a balancer's log, and the balancer's own configuration."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts import rolling_restart
from scripts.rolling.balancer import CONFIGURATION, Balancer
from scripts.rolling.clients import Failure
from scripts.rolling.deaths import Blow, Death
from scripts.rolling.journal import Exchange, read_change, read_exchange
from scripts.rolling.report import holds, show
from scripts.rolling.rollout import totals
from tests.serving import free_port

needs_haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")

LINE = (
    '{"ended_ms":1795553351596,"active_ms":92,"read_ms":1,"queued_ms":0,"connect_ms":3,"answer_ms":88,'
    '"server":"one","status":200,"ending":"----","retries":"0"}'
)
DOWN = (
    'Server convoy/one is DOWN, reason: Layer7 wrong status, code: 503, info: "Service Unavailable", check duration: '
    "0ms. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
)


def test_a_line_is_a_request_with_its_times() -> None:
    read = read_exchange(LINE)
    assert read is not None
    assert read.ended == 1795553351.596
    assert read.began == pytest.approx(read.ended - 0.092)
    assert read.sent == pytest.approx(read.began + 0.004)
    assert (read.server, read.status, read.retries, read.failed) == ("one", 200, 0, False)


@pytest.mark.parametrize(
    ("was", "now"),
    [('"status":200', '"status":503'), ('"status":200', '"status":-1'), ('"----"', '"SD--"'), ('"----"', '"CD--"')],
)
def test_anything_but_a_whole_200_has_failed(was: str, now: str) -> None:
    read = read_exchange(LINE.replace(was, now))
    assert read is not None
    assert read.failed


def test_a_request_that_no_server_took_was_not_sent() -> None:
    read = read_exchange(LINE.replace('"connect_ms":3', '"connect_ms":-1').replace('"0"}', '"+1"}'))
    assert read is not None
    assert (read.sent, read.retries) == (None, 1)
    assert not read.in_flight("one", 0, 2e9)


def test_other_lines_are_none() -> None:
    assert read_exchange(DOWN) is None
    assert read_change(LINE) is None


def test_a_change_is_counted_once_though_it_is_said_twice() -> None:
    change = read_change(DOWN)
    assert change is not None
    assert (change.server, change.up) == ("one", False)
    assert "503" in change.reason
    assert read_change(f"[WARNING]  (18492) : {DOWN}") is None
    up = read_change('Server convoy/two is UP, reason: Layer7 check passed, code: 200, check duration: 1ms. 1 active"')
    assert up is not None
    assert (up.server, up.up) == ("two", True)


def exchange(sent: float, ended: float, server: str = "one", status: int = 200) -> Exchange:
    return Exchange(sent, sent, ended, server, status, "--", 0)


@pytest.mark.parametrize(
    ("sent", "ended", "there"), [(1, 5, True), (1, 1.9, False), (3.1, 5, False), (3, 4, True), (1, 2, True)]
)
def test_in_flight_is_any_moment_of_the_time(sent: float, ended: float, there: bool) -> None:
    assert exchange(sent, ended).in_flight("one", 2, 3) is there
    assert not exchange(sent, ended, "two").in_flight("one", 2, 3)


def test_totals_are_those_of_the_time_alone() -> None:
    ran = [exchange(0, 1), exchange(2, 3, status=502), replace(exchange(2, 4), retries=1), exchange(9, 10)]
    assert totals(ran, 1.5, 8) == {
        "requests": 2,
        "failed_by_the_balancer": 1,
        "refused_connections_retried": 1,
        "max_ms": 2000,
    }


BLOW = Blow("one", open_before=2, killed=10.0, dead=10.1)


def death(failed: list[Failure], exchanges: list[Exchange]) -> Death:
    return Death(noticed=0.5, ready=4, back=4.5, **BLOW.cost(failed, exchanges, ready=14.0))


def test_what_was_in_flight_may_fail() -> None:
    died = death([Failure(9.9, 10.05), Failure(10.08, 10.1)], [exchange(9.5, 9.9), exchange(10.2, 10.3, "two")])
    assert (died.open_before, died.failed, died.in_flight, died.unexplained) == (2, 2, 2, 0)
    assert died.last_failure == pytest.approx(0.1)
    assert died.last_sent == 0
    assert died.recovered


def test_what_began_later_may_not_fail() -> None:
    died = death([Failure(9.9, 10.05), Failure(10.2, 10.4)], [])
    assert (died.in_flight, died.unexplained) == (1, 1)
    assert not died.recovered


def test_what_ended_before_is_not_the_kills() -> None:
    assert death([Failure(9.0, 9.9)], []).unexplained == 1


def test_what_a_supervisor_lets_in_is_told_apart() -> None:
    died = death([Failure(10.5, 13.0)], [exchange(10.5, 13.0, status=503)])
    assert (died.in_flight, died.at_its_door, died.unexplained) == (0, 1, 0)
    assert died.last_sent == pytest.approx(0.5)
    assert died.recovered


def test_one_refusal_explains_one_failure() -> None:
    refusal = exchange(10.5, 13.0, status=503)
    assert death([Failure(10.4, 13.0), Failure(10.5, 13.0)], [refusal]).unexplained == 1
    assert death([Failure(11.0, 12.0)], [refusal]).unexplained == 1
    # It was on its way before the end, and the balancer sent it on afterwards: counted once.
    died = death([Failure(10.0, 13.0)], [refusal])
    assert (died.in_flight, died.at_its_door, died.unexplained) == (1, 0, 0)


def test_a_balancer_that_goes_on_sending_has_not_recovered() -> None:
    assert not death([], [exchange(13.5, 13.9)]).recovered
    assert not Death(noticed=3.1, ready=4, back=4.5, **BLOW.cost([], [], ready=14.0)).recovered


ROLLED: dict[str, Any] = {
    "failed": 0,
    "failed_by_the_balancer": 0,
    "locust_failures": 0,
    "locust_requests": 9,
    "balancer_requests": 9,
    "restarts": [{"round": 1, "ready": 4.0}],
}
DIED: dict[str, Any] = {"failed": 8, "locust_failures": 8, "recovered": True, "ready_without_worker": 0, "workers": 1}


@pytest.mark.parametrize("row", [ROLLED, DIED])
def test_a_phase_that_lost_nothing_holds(row: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert holds(row)
    show("a_phase", row)
    assert "a phase" in capsys.readouterr().out


@pytest.mark.parametrize(
    "row",
    [
        {**ROLLED, "failed": 1, "locust_failures": 1},
        {**ROLLED, "failed_by_the_balancer": 1},
        {**ROLLED, "locust_failures": 1},
        {**ROLLED, "balancer_requests": 8},
        {**DIED, "locust_failures": 9},
        {**DIED, "recovered": False},
        {**DIED, "ready_without_worker": 1},
        {**DIED, "workers": 0},
    ],
)
def test_a_phase_that_lost_something_does_not_hold(row: dict[str, Any]) -> None:
    assert not holds(row)


@needs_haproxy
@pytest.mark.parametrize("setting", [{}, {"CONVOY_KEEP_ALIVE": "1"}])
def test_the_configuration_is_valid(setting: dict[str, str]) -> None:
    command = ["haproxy", "-c", "-f", str(CONFIGURATION)]
    result = subprocess.run(command, env=setting | {"PATH": "/usr/sbin"}, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


class Replica(BaseHTTPRequestHandler):
    """Ready; hangs up on every POST once it has read it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.server.taken.append(self.rfile.read(int(self.headers["Content-Length"])))  # type: ignore[attr-defined]
        self.close_connection = True
        if self.server.answers:  # type: ignore[attr-defined]
            self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def replica(*, answers: bool) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", free_port()), Replica)
    server.taken, server.answers = [], answers
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@needs_haproxy
@pytest.mark.parametrize("keep_alive", [False, True])
def test_a_post_that_was_sent_is_not_sent_again(tmp_path: Path, keep_alive: bool) -> None:
    with ExitStack() as stack:
        replicas = [stack.enter_context(replica(answers=False)) for _ in range(2)]
        one, two = (each.server_port for each in replicas)
        log = tmp_path / "haproxy.log"
        balancer = stack.enter_context(Balancer(free_port(), (one, two), log, keep_alive=keep_alive))
        client = stack.enter_context(httpx.Client(transport=httpx.HTTPTransport(retries=5)))
        answer = client.post(balancer.url, content=b"picture")
        assert answer.status_code == 502
        assert [taken for each in replicas for taken in each.taken] == [b"picture"]
        client.close()
        balancer.wait_until_idle()
        (seen,) = balancer.exchanges()
    assert seen.failed


@needs_haproxy
def test_a_post_that_no_door_took_goes_to_the_next(tmp_path: Path) -> None:
    with ExitStack() as stack:
        alive = stack.enter_context(replica(answers=True))
        addresses = (free_port(), alive.server_port)
        balancer = stack.enter_context(Balancer(free_port(), addresses, tmp_path / "haproxy.log"))
        client = stack.enter_context(httpx.Client(transport=httpx.HTTPTransport(retries=5)))
        assert [client.post(balancer.url, content=b"picture").status_code for _ in range(8)] == [200] * 8
        assert balancer.open_requests("two") == 0
        assert balancer.open_requests("FRONTEND") == 1
        client.close()
        balancer.wait_until_idle()
        assert len(balancer.exchanges()) == 8
    assert alive.taken == [b"picture"] * 8


def test_bad_input_is_one_line_and_status_2(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*argv: str) -> str:
        with pytest.raises(SystemExit, match="2"):
            rolling_restart.arguments([*argv, "--images", str(tmp_path)])
        return capsys.readouterr().err

    monkeypatch.setattr(shutil, "which", lambda name: None if name == "haproxy" else name)
    assert "haproxy is not installed" in refused(str(tiny_bundle))
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert "manifest.json" in refused(str(tmp_path))
    assert "is there already" in refused(str(tiny_bundle), "--logs", str(tmp_path))


def test_the_measured_figures_hold() -> None:
    """docs/measured/rolling.json is what the script wrote, of all five rounds, and lost nothing."""
    measured = json.loads((Path(__file__).parents[1] / "docs" / "measured" / "rolling.json").read_text())
    assert set(measured) == {"setup", *rolling_restart.PHASES}
    assert measured["setup"]["users"] == 16
    for name in rolling_restart.PHASES:
        assert holds(measured[name]), name
        if name.startswith("rolling"):
            assert [each["round"] for each in measured[name]["restarts"]] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_the_documented_counts_are_the_measured_ones() -> None:
    root = Path(__file__).parents[1]
    measured = json.loads((root / "docs" / "measured" / "rolling.json").read_text())
    text = (root / "docs" / "deploy.md").read_text()
    for name in rolling_restart.PHASES:
        row = measured[name]
        if name.startswith("rolling"):
            assert f"| `{name}` | {row['requests']:,} | {row['failed']} |" in text
        else:
            assert f"| `{name}` | {row['locust_requests']:,} | {row['failed']} |" in text
    worker = measured["killed_worker"]
    assert f"{worker['in_flight']} in flight and {worker['at_its_door']} sent" in text

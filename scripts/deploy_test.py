"""Build the image, run it as Kubernetes would, and try what a deployment relies on.

    .venv/bin/python -m scripts.deploy_test --bundle bundles/photos

Prints a table and writes docs/measured/image.json; ends with 1 when something does not hold. With --memory-test
SECONDS it then sends the hostile pictures of CONVOY_TEST_DATA over 64 connections into 512 MiB for so long, and
writes docs/measured/image_memory.json. Every container that it starts is removed again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bundle.errors import ConvoyError
from bundle.folder import Folder, open_bundle
from bundle.golden import GOLDEN_TOLERANCE, golden_answers
from bundle.manifest import BundleManifest
from load_tests.closed_loop import Load, summary
from scripts import image
from scripts.container_engine import Engine, find_engine
from scripts.pod import Pod, Spec, load_average, memory_of, pod

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "docs" / "measured"
COLD_SECONDS = 3.0
RANDOM_USER = "1234567890:0"
"""OpenShift gives every namespace users of its own, in group 0."""
ROUTES = (
    "/livez",
    "/readyz",
    "/healthz",
    "/metrics",
    "/models",
    "/v2/health/live",
    "/v2/health/ready",
    "/docs.json",
    "/",
)
WRITES = """
for path in ("/app/x", "/x", "/etc/x"):
    try:
        open(path, "w")
        print("written")
    except OSError as error:
        print(error.errno)
"""
MEMORY = 512 * 2**20
CONNECTIONS = 64


@dataclass(frozen=True)
class Row:
    """One thing tried."""

    what: str
    passed: bool
    seen: str


def golden(bundle: Folder[BundleManifest], target: str) -> Iterator[tuple[bytes, str, float]]:
    """The golden pictures: bytes, and the label that this file has for it with its probability."""
    answers = golden_answers(bundle, bundle.manifest.artefact(target))
    for each, expected in zip(bundle.manifest.golden, answers, strict=True):
        index = int(expected.argmax())
        yield bundle.path(each.image).read_bytes(), bundle.manifest.labels[index], float(expected[index])


def right_answers(running: Pod, bundle: Folder[BundleManifest]) -> tuple[bool, str]:
    """Every golden picture over HTTP."""
    worst, count, identities = 0.0, 0, set()
    (model,) = running.client.get(f"{running.url}/models").json()["models"]
    for data, label, probability in golden(bundle, model["target"]):
        answer = running.client.post(f"{running.url}/predict", content=data).json()
        first = answer["predictions"][0]
        identities.add(answer["bundle"])
        if first["label"] != label:
            return False, f"{first['label']} instead of {label}"
        worst, count = max(worst, abs(first["probability"] - probability)), count + 1
    passed = identities == {bundle.id} and worst <= max(GOLDEN_TOLERANCE.values())
    return passed, f"{count} golden pictures by {model['target']}, probability within {worst:.1e}"


def started(running: Pod, how: str) -> Row:
    """From `run` to the first yes of /readyz; by processor time where others keep the cores."""
    load = load_average()
    busy = load > (os.cpu_count() or 1) + 1
    seconds = running.ready_cpu_seconds if busy else running.ready_seconds
    seen = f"{running.ready_seconds:.2f} s by the clock, {running.ready_cpu_seconds:.2f} s of processor time"
    seen += f"; judged by the latter: load {load:.0f} on {os.cpu_count()} cores" if busy else ""
    return Row(f"cold start {how} within {COLD_SECONDS:g} s", seconds <= COLD_SECONDS, seen)


def restricted(running: Pod, spec: Spec) -> list[Row]:
    """User, capabilities, root, limits, as the kernel has them."""
    status = running.status()
    users = set(status["Uid"].split())
    capabilities = {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    refusals = running.python(WRITES).split()
    cores = running.python("from bundle.cores import available_cores; print(available_cores())")
    limit = memory_of(running.pid)["limit"]
    return [
        Row("user is a number, not root", users == {"10001"}, f"uid {', '.join(sorted(users))}"),
        Row("no capability", {int(each, 16) for each in capabilities} == {0}, f"{' '.join(sorted(capabilities))}"),
        Row("no new privileges, seccomp", (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), "filtered"),
        Row("root is read-only", set(refusals) <= {"30", "13"} and "30" in refusals, f"errno {', '.join(refusals)}"),
        Row("memory limit", limit == spec.memory, f"{limit / 2**20:.0f} MiB"),
        Row("threads for its cores", cores == str(spec.cpus), f"{cores} cores"),
        Row("one process", running.processes() == 1, f"{running.processes()}"),
    ]


def routes(running: Pod) -> Row:
    """The platform's."""
    codes = {route: running.client.get(running.url + route).status_code for route in ROUTES}
    return Row("health, metrics and pages", set(codes.values()) == {200}, f"{len(codes)} routes: {set(codes.values())}")


@contextmanager
def under_load(running: Pod, pictures: list[bytes], connections: int = 8) -> Iterator[Load]:
    """A closed loop in a thread for as long as the block lasts, begun when its first answers are there."""
    load = Load(running.url, pictures)
    thread = threading.Thread(target=lambda: asyncio.run(load.run(connections, 3600)))
    thread.start()
    try:
        until(lambda: len(load.good) >= 20, 30)
        yield load
    finally:
        load.end()
        thread.join()


def until(happened: Callable[[], bool], seconds: float) -> bool:
    """Whether it happened in time."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def drains(running: Pod, spec: Spec, pictures: list[bytes]) -> list[Row]:
    """SIGTERM under load: not ready first, nothing lost, the end with 0 and in time."""
    with under_load(running, pictures) as load:
        load.heeds_readiness = True
        sent = time.monotonic()
        running.signal("TERM")
        unready = until(lambda: any(status == 503 for _, _, status in load.health), 10)
        after = time.monotonic() - sent
        code = running.wait_for_end(spec.grace)
        seconds = time.monotonic() - sent
    room = spec.grace - spec.before_stop
    statuses = dict(sorted(load.statuses.items()))
    return [
        Row("SIGTERM: not ready first", unready, f"503 after {after:.2f} s"),
        # A refusal for want of room is an answer; 0 and -1 stand for requests without one.
        Row("SIGTERM: every request answered", 200 in statuses and set(statuses) <= {200, 429}, f"{statuses}"),
        Row(f"SIGTERM: ends with 0 within {room:g} s", code == 0 and seconds <= room, f"{code} after {seconds:.1f} s"),
    ]


def dies(running: Pod) -> Row:
    """A killed worker takes the container with it: never ready at less than its capacity."""
    running.signal("KILL")
    code = running.wait_for_end(5)
    return Row("a killed worker ends the container", code == 137 and not running.ready(), f"exit code {code}")


def manifests() -> Row:
    """The tests of deploy/."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/deploy/test_manifests.py", "-p", "no:cacheprovider"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = result.stdout.strip().splitlines()
    summary_line = next((line for line in reversed(lines) if "passed" in line or "skipped" in line), "")
    dots = sum(line.count(".") for line in lines if set(line.partition("[")[0].strip()) <= set(".sFE"))
    skipped = sum(line.count("s") for line in lines if set(line.partition("[")[0].strip()) <= set(".sFE"))
    seen = summary_line or f"{dots} passed, {skipped} skipped"
    return Row("overlays render and fit the schemas", result.returncode == 0 and dots > 0, seen)


def try_everything(engine: Engine, tag: str, bundle: Folder[BundleManifest], spec: Spec) -> list[Row]:
    """The containers one after the other."""
    rows = []
    pictures = [bundle.path(each.image).read_bytes() for each in bundle.manifest.golden]
    with pod(engine, tag, spec) as running:
        rows += [started(running, "with the bundle inside"), *restricted(running, spec), routes(running)]
        rows += [Row("POST has the right answer", *right_answers(running, bundle))]
        rows += drains(running, spec, pictures)
    with pod(engine, tag, spec, user=RANDOM_USER, mount=bundle.root) as running:
        rows += [started(running, "with the bundle from a volume")]
        user = running.status()["Uid"].split()[0]
        passed, seen = right_answers(running, bundle)
        rows += [Row("any user will do", passed and f"{user}:0" == RANDOM_USER, f"uid {user}, {seen}")]
        rows += [dies(running)]
    return rows


class NoHostilePictures(ConvoyError):
    def __init__(self) -> None:
        super().__init__("--memory-test sends the pictures of CONVOY_TEST_DATA: set it to that folder")


class EndedUnderLoad(ConvoyError):
    def __init__(self, statuses: dict[int, int]) -> None:
        super().__init__(f"the container ended under the memory test, most likely for want of memory: {statuses}")


def hostile() -> list[bytes]:
    """Every hostile picture, each followed by a good one. Raises: NoHostilePictures."""
    folder = Path(os.environ.get("CONVOY_TEST_DATA") or "nowhere")
    bad, good = (
        sorted(path for path in (folder / name).glob("*") if path.is_file())
        for name in ("hostile_images", "imagenet_sample")
    )
    if not bad or len(good) < len(bad):
        raise NoHostilePictures
    return [path.read_bytes() for pair in zip(bad, good, strict=False) for path in pair]


def memory_test(
    engine: Engine, tag: str, bundle: Folder[BundleManifest], spec: Spec, pictures: list[bytes], seconds: float
) -> dict[str, Any]:
    """The pictures over 64 connections into 512 MiB, and whether it lived. Raises: EngineFailed, NeverReady."""
    with pod(engine, tag, replace(spec, memory=MEMORY)) as running:
        ready = memory_of(running.pid)
        load = Load(running.url, pictures)
        begun = time.perf_counter()
        asyncio.run(load.run(CONNECTIONS, seconds))
        took = time.perf_counter() - begun
        if running.wait_for_end(0.1) is not None:
            raise EndedUnderLoad(dict(load.statuses))
        state, memory = running.state(), memory_of(running.pid)
        right, _ = right_answers(running, bundle)
        resident = int(running.status()["VmHWM"].split()[0]) * 1024
    numbers = summary(load, took)
    alive = state["Status"] == "running" and not state.get("OOMKilled") and memory["killed"] == 0
    answered = all(int(status) in range(200, 500) or status == "503" for status in numbers["statuses"])
    return {
        "passed": alive and right and answered and memory["limit"] == MEMORY,
        "limit_bytes": memory["limit"],
        "ready_bytes": ready["peak"],
        "peak_bytes": memory["peak"],
        "resident_peak_bytes": resident,
        "oom_kills": memory["killed"],
        "connections": CONNECTIONS,
        "seconds": round(took, 1),
        "pictures": len(pictures),
        "statuses": numbers["statuses"],
        "health_failed": numbers["health_failed"],
        "right_afterwards": right,
        "load_average": load_average(),
    }


def parse() -> argparse.Namespace:
    """scripts.image's options and three more."""
    parser = image.parser(__doc__)
    parser.add_argument("--built", action="store_true", help="take the image as it is")
    parser.add_argument("--memory-test", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--write", type=Path, default=MEASURED, help="folder of image.json")
    options = parser.parse_args()
    if options.bundle is None:
        parser.error("--bundle is needed: its golden pictures have the right answers")
    return options


def main() -> None:
    """Build, try, print, write."""
    options = parse()
    begun = time.monotonic()
    try:
        passed = test(options)
    except ConvoyError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1 if isinstance(error, image.ImageUnfit | EndedUnderLoad) else 2) from error
    print(f"{time.monotonic() - begun:.0f} s")
    raise SystemExit(0 if passed else 1)


def test(options: argparse.Namespace) -> bool:
    """Whether everything held. Raises: ConvoyError."""
    engine = find_engine(options.engine, to_run=True)
    options.engine = engine.name
    bundle, spec = open_bundle(options.bundle), Spec.read()
    pictures = hostile() if options.memory_test else []
    built = image.inspect(options, engine) if options.built else image.make(options)
    rows = [*try_everything(engine, options.tag, bundle, spec), manifests()]
    width = max(len(row.what) for row in rows)
    for row in rows:
        print(f"{'ok  ' if row.passed else 'FAIL'} {row.what:{width}}  {row.seen}")
    document = {"image": built, "cores": os.cpu_count(), "checks": [asdict(row) for row in rows]}
    write(options.write / "image.json", document)
    passed = all(row.passed for row in rows)
    if options.memory_test:
        record = memory_test(engine, options.tag, bundle, spec, pictures, options.memory_test)
        write(options.write / "image_memory.json", record)
        print(json.dumps(record, indent=2))
        passed &= record["passed"]
    return passed


def write(path: Path, document: dict[str, Any]) -> None:
    """JSON, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()

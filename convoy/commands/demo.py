from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

import typer

from convoy.console import err, out
from convoy.errors import ServiceDied

READY_WITHIN_SECONDS = 60
_open = build_opener(ProxyHandler({})).open
"""Straight to this machine, whatever http_proxy says."""


def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after the answer instead of waiting for Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
    folder: Annotated[Path, typer.Option(help="Where the pictures, the run and the bundle go.")] = Path("demo"),
) -> None:
    """The whole road on scikit-learn's handwritten digits: train, export, verify, serve, ask."""
    from convoy.digits import write_digits
    from convoy.quiet import quiet_training
    from export.bundle_writer import export
    from export.verify import verify
    from models.fit import Conditions
    from models.recipe import resolve_recipe
    from models.train import train
    from service.run import check_port

    started = time.monotonic()
    check_port("127.0.0.1", port)
    quiet_training()
    run, bundle = folder / "runs" / "digits", folder / "bundles" / "digits"
    data = write_digits(folder / "digits")
    out.print(f"1 data    {data}: 1,797 handwritten digits in 10 classes")
    recipe = resolve_recipe("lenet5", data.resolve(), epochs=12, batch_size=64)
    trained = train(recipe, run, overwrite=True, conditions=Conditions(progress=err.is_terminal))
    assert trained is not None
    out.print(f"2 train   {run}: LeNet-5, validation top-1 {trained.metrics.top1:.4f} of {trained.metrics.n}")
    exported = export(run, ["onnx"], bundle, overwrite=True)
    if parity := exported.manifest.artefacts[0].parity:
        out.print(
            f"3 export  {bundle}: ONNX, differs from PyTorch by {parity.max_abs_difference:.1e} at most, "
            f"same answer on {parity.top1_agreement:.1%} of {parity.n}"
        )
    checks = verify(bundle)
    out.print(f"4 verify  {len(checks)} checks passed, bundle {exported.id[:12]}")
    picture = bundle / exported.manifest.golden[-1].image.path
    with _service(bundle, port, folder / "service.log"):
        url = f"http://127.0.0.1:{port}"
        answer = _post(f"{url}/predict?top_k=3", picture)
        out.print(f"5 serve   {url}, ready after {time.monotonic() - started:.0f} s altogether")
        first = answer["predictions"][0]
        out.print(f"6 ask     {picture} shows a {first['label']}, probability {first['probability']:.4f}")
        out.print(json.dumps(answer, indent=2))
        out.print(f"curl -F image=@{picture} '{url}/predict?top_k=3'")
        if not once:
            out.print("The service is running; Ctrl-C stops it.")
            _wait_for_interrupt()


@contextmanager
def _service(bundle: Path, port: int, log: Path) -> Iterator[None]:
    """The service in a process of its own, ready, and gone at the end of the block, or when this one is to end."""
    from service import run

    # Without it SIGTERM ends this process alone, and the port stays taken.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with log.open("wb") as output:
        process = subprocess.Popen(
            run.command("127.0.0.1", port), env=run.environment(bundle), stdout=output, stderr=output
        )
        try:
            _wait_until_ready(process, port, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
            signal.signal(signal.SIGTERM, before)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            with _open(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise ServiceDied(log)


def _post(url: str, picture: Path) -> dict[str, Any]:
    request = Request(url, data=picture.read_bytes(), headers={"Content-Type": "image/png"}, method="POST")
    with _open(request, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def _wait_for_interrupt() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        out.print("stopping")

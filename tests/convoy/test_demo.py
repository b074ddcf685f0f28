from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from tests.serving import free_port

SERVING = """
import sys, time
from pathlib import Path
from convoy.commands.demo import _service

with _service(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])):
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_demo_that_is_ended_leaves_no_service(tiny_bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SERVING, str(tiny_bundle), str(free_port()), str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline() == "ready\n", (tmp_path / "log").read_text()
        service = psutil.Process(demo.pid).children(recursive=True)
        assert service
        try:
            demo.terminate()
            assert demo.wait(40) == 143
            assert not psutil.wait_procs(service, timeout=10)[1]
        finally:
            for process in service:
                if process.is_running():
                    process.kill()

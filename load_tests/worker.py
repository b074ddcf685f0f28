"""One process of the generator: a locust worker that waits for its master.

    python -m load_tests.worker HOST:PORT

Everything else comes from the master: whom to ask, the pictures, the answers. `CONVOY_API_KEY` is read here. It ends
with the load test.
"""

from __future__ import annotations

from gevent import monkey

# Before anything that imports sockets or ssl: locust would patch them when it is too late.
monkey.patch_all()

# ruff: noqa: E402
import argparse
import logging
import os
import signal
from typing import Any

from load_tests.options import address, cores

logging.getLogger("locust").setLevel(logging.CRITICAL)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.worker", description=__doc__)
    parser.add_argument("master", type=address, metavar="HOST:PORT")
    parser.add_argument("--cpus", type=cores, help="Cores to stay on, such as 1 or 2,3.")
    parser.add_argument("--led", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cpus:
        os.sched_setaffinity(0, options.cpus)
    # Ctrl-C reaches the whole group of a master that started this process; that one says when it is over.
    signal.signal(signal.SIGINT, signal.SIG_IGN if options.led else signal.SIG_DFL)
    if not options.led:
        print(f"waiting for a load test that is led from {':'.join(map(str, options.master))}", flush=True)
    run(*options.master)


def run(host: str, port: int) -> None:
    """Until the master quits."""
    from locust.env import Environment

    from load_tests.driver import Driver, Plan
    from load_tests.outcome import Case

    environment = Environment(user_classes=[Driver])
    runner = environment.create_worker_runner(host, port)

    def on_plan(msg: Any, **_: Any) -> None:
        Driver.plan = Plan(msg.data["url"], [Case.of_message(parts) for parts in msg.data["cases"]])
        runner.send_message("planned", {})

    runner.register_message("plan", on_plan)
    runner.register_message("phase", lambda msg, **_: Driver.inbox.put(msg.data))
    runner.send_message("listening", {})
    runner.greenlet.join()


if __name__ == "__main__":
    main()

"""`python -m load_tests URL --images FOLDER …`: what `convoy loadtest` starts, in a process of its own.

Exit code 0: the objective was met; 1: it was not, or there is no service; 2: bad input; 130: Ctrl-C or SIGTERM, after
which what was measured until then is written.
"""

from __future__ import annotations

from gevent import monkey

# Before anything that imports sockets or ssl: locust would patch them when it is too late.
monkey.patch_all()

# ruff: noqa: E402
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from load_tests.errors import LoadTestError
from load_tests.memory import check_pid, list_files
from load_tests.options import Options, read_options
from load_tests.report import clear, write
from load_tests.scenarios import SCENARIOS, read_material
from load_tests.session import Session
from load_tests.signals import Interrupts
from load_tests.table import table
from load_tests.target import Target


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    interrupts = Interrupts()
    try:
        return run(read_options(sys.argv[1:] if arguments is None else arguments), interrupts)
    except (LoadTestError, OSError) as error:
        say(f"error: {' '.join(str(error).split())}")
        return error.exit_code if isinstance(error, LoadTestError) else 2
    except KeyboardInterrupt:
        say("stopped")
        return 130


def run(options: Options, interrupts: Interrupts) -> int:
    """Measure, write, print. Raises: LoadTestError, OSError."""
    if options.cpus:
        os.sched_setaffinity(0, options.cpus)
    target = Target(options.url)
    if options.pid:
        check_pid(options.pid)
    if options.temp:
        list_files(options.temp)
    material = read_material(
        target,
        target.model(options.model),
        options.images,
        options.expected,
        hostile=options.hostile,
        batch_size=options.batch_size,
    )
    cases = SCENARIOS[options.scenario](material, target)
    options.out.mkdir(parents=True, exist_ok=True)
    for text in material.left_out:
        say(f"left out: {text}")
    summary = measure(options, target, cases, interrupts)
    print(json.dumps(summary, indent=2) if options.json else table(summary))
    if summary["stopped"]:
        raise KeyboardInterrupt
    return 0 if summary["met"] else 1


def measure(options: Options, target: Target, cases: Sequence[Any], interrupts: Interrupts) -> dict[str, Any]:
    """Run the phases and write both files. Raises: GeneratorLost; KeyboardInterrupt when nothing was measured yet."""
    # locust takes a while to import: bad input was refused by now.
    from load_tests.fleet import Fleet

    if options.workers:
        say(f"waiting for {options.workers} workers on {options.bind[0]}:{options.bind[1]}")
    fleet = Fleet(target.url, cases, processes=options.processes, remote=options.workers, bind=options.bind)
    try:
        clear(options.out)
        session = Session(options, target, fleet, say, cases)
        session.run()
    finally:
        interrupts.hold()
        fleet.close()
    summary = session.summary()
    write(session, summary, options.out)
    say(f"wrote {options.out / 'report.html'} and summary.json")
    return summary


def say(text: str) -> None:
    """Everything but the result goes to standard error."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

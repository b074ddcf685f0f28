"""The `convoy` command: errors become one line and an exit code here, and nowhere else."""

from __future__ import annotations

import os
import sys

import typer

from bundle.errors import ConvoyError
from convoy.commands import (
    benchmark,
    data,
    demo,
    describe,
    evaluate,
    export,
    loadtest,
    look,
    package,
    phone,
    predict,
    pull,
    serve,
    train,
    verify,
    zoo,
)
from convoy.console import err
from convoy.errors import EXTRAS, ExtraMissing, NotText, Unreachable

app = typer.Typer(
    help="From a folder of labelled images to a classifier on a server and on a phone, proven the same at every step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    zoo.zoo,
    describe.describe,
    look.look,
    data.data,
    train.train,
    evaluate.evaluate,
    pull.pull,
    export.export,
    verify.verify,
    benchmark.benchmark,
    predict.predict,
    serve.serve,
    loadtest.loadtest,
    package.package,
    phone.phone,
    demo.demo,
):
    app.command()(command)


def main() -> None:
    """Run a command; exit 0, 1 (a gate or a service failed), 2 (bad input) or 130 (Ctrl-C)."""
    try:
        app()
    except ConvoyError as error:
        sys.exit(fail(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in EXTRAS:
            raise
        sys.exit(fail(ExtraMissing(error.name.split(".")[0])))
    except BrokenPipeError:  # `convoy predict … | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        sys.exit(fail(Unreachable(error)))
    except UnicodeError as error:
        sys.exit(fail(NotText(error)))
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(130)


def fail(error: ConvoyError) -> int:
    """Print the error on one line; returns the exit code."""
    err.print(f"error: {' '.join(str(error).split())}", style="red")
    return error.exit_code


if __name__ == "__main__":
    main()

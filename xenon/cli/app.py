"""The command `xenon-llm`: assembles the commands and turns every error into one line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, NoReturn

import typer

from xenon import __version__
from xenon.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_USAGE, XenonError

app = typer.Typer(
    name="xenon-llm",
    help="Port a small language model to a big-endian PowerPC console, and run it without owning one.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"xenon-llm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _register() -> None:
    from xenon.cli import bench, convert, generate, inspect, run, scan

    app.command("convert")(convert.convert)
    app.command("inspect")(inspect.inspect)
    app.command("generate")(generate.generate)
    app.command("scan")(scan.scan)
    app.command("bench")(bench.bench)
    app.command("run", context_settings={"allow_interspersed_args": False})(run.run)


def _fail(message: str, hint: str, code: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    sys.exit(code)


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 bad input, 2 usage, 3 guest fault, 124 limit, 130 Ctrl-C."""
    from loader.errors import LoaderError

    _register()
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except XenonError as error:
        _fail(error.message, error.hint, error.exit_code)
    except LoaderError as error:
        _fail(error.message, error.hint, EXIT_BAD_INPUT)
    except typer.TyperException as error:
        command = " ".join(["xenon-llm", *[word for word in sys.argv[1:2] if not word.startswith("-")]])
        _fail(error.format_message(), f"{command} --help", EXIT_USAGE)
    except KeyboardInterrupt:
        _fail("interrupted", "", EXIT_INTERRUPTED)
    except OSError as error:
        if error.errno == errno.EPIPE:
            # The reader of our output is gone, as with `| head`: nothing to tell it, nothing more to flush.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{(error.strerror or str(error)).lower()}", "", EXIT_BAD_INPUT)

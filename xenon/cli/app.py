"""The command `xenon-llm`: finds the command asked for, turns every error into one line and an exit code."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from xenon import __version__
from xenon.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_USAGE, XenonError

# In the order of the help: the name is that of the module in this folder and of the function in it.
COMMANDS: dict[str, dict[str, Any]] = {
    "convert": {},
    "inspect": {},
    "generate": {},
    "run": {"context_settings": {"allow_interspersed_args": False}},
    "profile": {"context_settings": {"allow_interspersed_args": False}},
    "scan": {},
    "bench": {},
    "budget": {},
    "estimate": {},
    "cache": {},
}


class Commands(TyperGroup):
    """Imports a command's module when it is wanted: the start is what a user waits for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"xenon.cli.{cmd_name}")
        holder = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        holder.command(cmd_name, **COMMANDS[cmd_name])(getattr(module, cmd_name))
        return typer.main.get_command(holder)


app = typer.Typer(
    name="xenon-llm",
    cls=Commands,
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


def _fail(message: str, hint: str, code: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    sys.exit(code)


def _usage_hint() -> str:
    command = sys.argv[1:2] if sys.argv[1:2] and sys.argv[1] in COMMANDS else []
    return " ".join(["xenon-llm", *command, "--help"])


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 bad input, 2 usage, 3 guest fault, 124 limit, 130 Ctrl-C."""
    # A reader that leaves, as in `| head`, ends us as it ends any program: quietly, status 141 in a shell.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        from loader.errors import LoaderError
    except KeyboardInterrupt:
        _fail("interrupted", "", EXIT_INTERRUPTED)
    try:
        code = app(standalone_mode=False) or 0
        if code == EXIT_INTERRUPTED:  # Typer's own answer to Ctrl-C
            raise KeyboardInterrupt
        sys.exit(code)
    except XenonError as error:
        if error.report:
            print(error.report, file=sys.stderr)
        _fail(error.message, error.hint, error.exit_code)
    except LoaderError as error:
        _fail(error.message, error.hint, EXIT_BAD_INPUT)
    except typer.TyperException as error:
        _fail(error.format_message(), _usage_hint(), EXIT_USAGE)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", "", EXIT_INTERRUPTED)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{(error.strerror or str(error)).lower()}", "", EXIT_BAD_INPUT)

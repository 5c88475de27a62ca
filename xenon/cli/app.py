"""The command `xenon-llm`: finds the command asked for, turns every error into one line and an exit code."""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from xenon import __version__
from xenon.cli.errors import (
    EXIT_BAD_INPUT,
    EXIT_INTERRUPTED,
    EXIT_READER_GONE,
    EXIT_SIGNAL,
    EXIT_USAGE,
    UsageError,
    did_you_mean,
    exit_code_of,
    hint_for,
)
from xenon.cli.plain_values import with_plain_values
from xenon.cli.signals import Ended, end_by_exception
from xenon.errors import XenonError, reason
from xenon.host.signals import end_with_the_reader, is_reader_gone
from xenon.notes import XenonWarning

if TYPE_CHECKING:
    from loader import LoaderError

# In the order of the help: the name is that of the module in this folder and of the function in it.
COMMANDS: dict[str, dict[str, Any]] = {
    "convert": {},
    "inspect": {},
    "export": {},
    "generate": {},
    "chat": {},
    "serve": {},
    "batch": {},
    "tokenize": {},
    "pack": {},
    "run": {"context_settings": {"allow_interspersed_args": False}},
    "boot": {},
    "c64": {},
    "profile": {"context_settings": {"allow_interspersed_args": False}},
    "scan": {},
    "bench": {},
    "perplexity": {},
    "verify": {},
    "sweep": {},
    "budget": {},
    "estimate": {},
    "pull": {},
    "list": {},
    "cache": {},
}
_HELP = """Port a small language model to a big-endian PowerPC console, and run it without owning one.

\b
A story, told in an emulated Xbox 360 by the model that comes with xenon-llm:
  xenon-llm generate "Sleepy Joe said"
A model of your own made big-endian, and whether it fits in the console:
  xenon-llm convert stories15M.bin -z tokenizer.bin
  xenon-llm budget stories15M.bin
Any static program for big-endian PowerPC Linux:
  xenon-llm run ./hello
A program on a USB stick for a real console, as XeLL starts it:
  xenon-llm boot usb/ --screen picture.png
"""


class Command(TyperCommand):
    """A command that starts without Typer's validation where its values are plain."""

    def get_params(self, ctx: Any) -> list[Any]:
        return with_plain_values(super().get_params(ctx))


class Commands(TyperGroup):
    """Imports a command's module when it is wanted: the start is what a user waits for."""

    def get_params(self, ctx: Any) -> list[Any]:
        return with_plain_values(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"xenon.cli.{cmd_name}")
        holder = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        holder.command(cmd_name, cls=Command, **COMMANDS[cmd_name])(getattr(module, cmd_name))
        return typer.main.get_command(holder)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        word = args[0]
        if word not in COMMANDS and not word.startswith("-"):
            likely = did_you_mean(word, COMMANDS)
            raise UsageError(f"no command {word!r}", f"{likely} xenon-llm --help lists all".lstrip())
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="xenon-llm",
    cls=Commands,
    help=_HELP,
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
    with contextlib.suppress(OSError):  # a full disk does not change how it ends
        print(f"error: {message}", file=sys.stderr)
        if hint:
            print(f"hint: {hint}", file=sys.stderr)
    sys.exit(code)


def _fail_usage(error: typer.TyperException) -> NoReturn:
    """A word that typer refuses: an option, a value, or a missing argument."""
    message, likely = error.format_message().replace(": Value error, ", ": "), ""
    if known := getattr(error, "possibilities", None):  # an unknown option
        message = re.sub(r" \(Possible options: .*\)$", "", message)
        likely = did_you_mean(message.split()[-1], known)
    elif choice := re.search(r": '(.*)' is not one of (.*)\.$", message):
        likely = did_you_mean(choice[1], re.findall(r"'(.*?)'", choice[2]))
    command = sys.argv[1:2] if sys.argv[1:2] and sys.argv[1] in COMMANDS else []
    usage = " ".join(["xenon-llm", *command, "--help"])
    _fail(message, f"{likely} {usage} lists all" if likely else usage, EXIT_USAGE)


def _show_notes() -> None:
    """Print what the library warns of as notes."""
    show_others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, XenonWarning):
            with contextlib.suppress(OSError):
                print(f"note: {message}", file=sys.stderr)
        else:
            show_others(message, category, *place, **more)

    warnings.filterwarnings("default", category=XenonWarning)
    warnings.showwarning = show


def _library_errors() -> tuple[type[XenonError] | type[LoaderError], ...]:
    """What the libraries raise; the loader's own where a command has imported it, which takes a while."""
    loader = sys.modules.get("loader.errors")
    return (XenonError,) if loader is None else (XenonError, loader.LoaderError)


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 bad input, 2 usage, 3 guest fault, 124 limit, 130 Ctrl-C."""
    end_with_the_reader()  # as in `| head`: quietly, status 141 in a shell
    _show_notes()
    try:
        end_by_exception()
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0
        sys.stdout.flush()
        if code == EXIT_INTERRUPTED:  # Typer's own answer to Ctrl-C
            raise KeyboardInterrupt
        sys.exit(code)
    except _library_errors() as error:
        if isinstance(error, XenonError) and error.report:
            print(error.report, file=sys.stderr)
        _fail(error.message, hint_for(error), exit_code_of(error))
    except typer.TyperException as error:
        _fail_usage(error)
    except KeyboardInterrupt:
        _fail("interrupted", "", EXIT_INTERRUPTED)
    except typer.Abort as abort:  # what Typer makes of an EOFError: a fault, for no command asks a question
        raise (abort.__cause__ or abort) from None
    except Ended as ended:
        _fail(f"ended by {ended.signal.name}", "", EXIT_SIGNAL + ended.signal)
    except MemoryError:
        _fail("this computer gives no more memory", "raise the limit (ulimit -v)", EXIT_BAD_INPUT)
    except OSError as error:
        if is_reader_gone(error):
            sys.exit(EXIT_READER_GONE)
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{reason(error)}", "", EXIT_BAD_INPUT)

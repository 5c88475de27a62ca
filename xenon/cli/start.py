"""The way into the command line: Ctrl-C ends it in one line from here on, and standard streams are open.

It imports as little as it can: what is done here is done before anything can fail.
"""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

_INTERRUPTED = 130
_ALLOCATIONS = 50_000  # between two looks for garbage; nearly all objects of a short run are those of modules


def main() -> NoReturn:
    """Run the command line and exit, see app.main."""
    try:
        import signal

        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, _end_at_once)
    except KeyboardInterrupt:
        _end_at_once()
    _open_standard_streams()
    gc.set_threshold(_ALLOCATIONS, 20, 20)
    from xenon.cli.app import main as run

    try:
        run()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is left to tidy up by Python
        gc.freeze()  # the system takes back what is left, faster than a last look for garbage
        _give_up_unwritten()


def _end_at_once(_number: int = 0, _frame: FrameType | None = None) -> None:
    """While modules are imported: some turn a KeyboardInterrupt into another error."""
    try:
        os.write(2, b"error: interrupted\n")
    finally:
        os._exit(_INTERRUPTED)


def _open_standard_streams() -> None:
    """A standard stream that is closed becomes /dev/null: no file that is opened later takes its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            _connect_to_nothing(number, os.O_RDONLY if number == 0 else os.O_WRONLY)
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="replace", closefd=False))
        elif sys.platform == "win32" and number:  # else in the code page, which lacks most letters
            getattr(sys, name).reconfigure(encoding="utf-8", errors="backslashreplace")


def _connect_to_nothing(number: int, flags: int) -> None:
    handle = os.open(os.devnull, flags)
    if handle == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(handle, number)
        os.close(handle)


def _give_up_unwritten() -> None:
    """What a full disk does not take is lost: the interpreter does not try again, and keeps the exit code."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            _connect_to_nothing(number, os.O_WRONLY)

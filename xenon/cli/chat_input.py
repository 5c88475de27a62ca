"""Where the turns of a conversation come from: a terminal with line editing and history, or a pipe."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from xenon.cli.signals import served_while_waiting
from xenon.errors import XenonError
from xenon.host import folders
from xenon.host.files import is_users

MOST_LINE_BYTES = 1 << 20
_MOST_HISTORY_LINES = 1000
_MOST_HISTORY_BYTES = 4 << 20
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def has_colours(descriptor: int) -> bool:
    """Whether it is a terminal that shows colours, and the user wants them (no-color.org)."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    return wanted and os.isatty(descriptor)


class Pipe:
    """Standard input as lines, each of them a turn."""

    interactive = False

    def read(self) -> str:
        """The next line. Raises EOFError at the end, XenonError for one without an end."""
        with served_while_waiting():
            line = sys.stdin.buffer.readline(MOST_LINE_BYTES + 1)
        if not line:
            raise EOFError
        if len(line) > MOST_LINE_BYTES:
            raise XenonError(
                f"standard input: a line of more than {MOST_LINE_BYTES} bytes", "a line is a turn"
            )
        return line.decode("utf-8", "surrogateescape").rstrip("\r\n")

    def __enter__(self) -> Pipe:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class LineEditor:
    """Lines from a terminal, by readline, with a history that only the user can read. Where Python has no
    readline, as on Windows, the console edits the line."""

    interactive = True

    def __init__(self) -> None:
        self._history = history_file()
        self._shows = os.isatty(1)
        self._prompt = f"{_BOLD}> {_PLAIN}" if has_colours(1) else "> "

    def read(self) -> str:
        """The next line. Raises EOFError for Ctrl-D, KeyboardInterrupt for Ctrl-C, XenonError for bytes that
        are no text."""
        try:
            if not self._shows:
                print("> ", end="", file=sys.stderr, flush=True)  # the answers go elsewhere
            with served_while_waiting():
                return input(self._prompt if self._shows else "")
        except UnicodeDecodeError as error:
            raise XenonError("the line is not UTF-8", "type it again") from error

    def __enter__(self) -> LineEditor:
        with suppress(ImportError, OSError):
            import readline

            if has_colours(1):  # marks what takes no room, which nothing but readline hides
                self._prompt = f"\x01{_BOLD}\x02> \x01{_PLAIN}\x02"
            readline.set_auto_history(True)
            for line in _read_history(self._history):
                readline.add_history(line)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ImportError, OSError):
            import readline

            last = readline.get_current_history_length()
            numbers = range(max(1, last - _MOST_HISTORY_LINES + 1), last + 1)
            lines = [readline.get_history_item(number) or "" for number in numbers]
            _write_history(self._history, lines)


def history_file() -> Path | None:
    """The user's file for typed lines; None for a user without a home folder."""
    folder = folders.user_state()
    return None if folder is None else folder / "xenon-llm" / "chat_history"


def _read_history(path: Path | None) -> list[str]:
    """The lines of the file, if it is one of the user's own. May raise OSError."""
    if path is None:
        return []
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or not is_users(status):
            return []
        data = file.read(_MOST_HISTORY_BYTES)
    return [line for line in data.decode("utf-8", "replace").split("\n") if line][-_MOST_HISTORY_LINES:]


def _write_history(path: Path | None, lines: list[str]) -> None:
    """A new file in its place, which nobody but the user may read. May raise OSError."""
    if path is None or not lines:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".chat_history-", dir=path.parent)  # of mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

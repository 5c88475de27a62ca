"""Commands on a terminal: they write to one of 160 columns, or somebody types."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from pathlib import Path

from command_line import COMMAND
from systems import TERMINALS, need

SIZE = {"COLUMNS": "160", "LINES": "50"}


def on_a_terminal(*words: str | Path, until: bytes = b"", then: int | None = None) -> tuple[int, bytes]:
    """Exit code and output of a command, which gets the signal `then` once it has written `until`."""
    need(TERMINALS)
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(str, words)], stdout=theirs, stderr=theirs, env=os.environ | SIZE
    )
    os.close(theirs)
    data, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        data += piece
        if then is not None and until in data:
            process.send_signal(then)
            then = None
    os.close(ours)
    return process.wait(20), data


class Typist:
    """A process on a terminal of its own."""

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        need(TERMINALS)
        import pty

        self.descriptor, child = pty.openpty()
        self.process = subprocess.Popen(
            words,
            stdin=child,
            stdout=child,
            stderr=child,
            env=os.environ | {"TERM": "xterm", "NO_COLOR": "1"} | environment,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(child)
        self.seen = ""

    def expect(self, text: str, seconds: float = 60) -> str:
        """Reads until this text is there; what came up to its end."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            ready, _, _ = select.select([self.descriptor], [], [], max(0, end - time.monotonic()))
            assert ready, self.seen
            self.seen += os.read(self.descriptor, 4096).decode()
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def wait(self) -> int:
        try:
            return self.process.wait(timeout=60)
        finally:
            os.close(self.descriptor)


def _take_terminal() -> None:
    import fcntl
    import termios

    signal.signal(signal.SIGINT, signal.default_int_handler)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)

"""Commands that write to a terminal of 160 columns."""

from __future__ import annotations

import os
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

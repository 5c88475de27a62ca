"""A process that compiles: LLVM takes up to seconds for a function, and nothing may wait for it to stop.

Both ways go lines of JSON, each followed by as many bytes as it says: a module's text there, object code
back.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from typing import IO


class Stopped(Exception):
    """The worker was stopped before it had an answer."""


class Worker:
    """A compiling process, started with the first module."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def compile(self, text: str) -> bytes:
        """Object code of a module. Raises Stopped."""
        if self._stopped:
            raise Stopped
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "xenon.recompiler.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is ours to handle
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _send(self._process.stdin, text.encode())
            return _receive(self._process.stdout)
        except (OSError, EOFError, ValueError):
            raise Stopped from None

    def stop(self) -> None:
        """End the process; from any thread."""
        self._stopped = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _send(stream: IO[bytes], data: bytes) -> None:
    stream.write(json.dumps({"size": len(data)}).encode() + b"\n" + data)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes:
    """Raises EOFError where the other side is gone."""
    line = stream.readline()
    if not line:
        raise EOFError
    size = json.loads(line)["size"]
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data


def _main() -> None:
    from xenon.recompiler.compile import compile_text

    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while True:
            _send(sys.stdout.buffer, compile_text(_receive(sys.stdin.buffer).decode()))


if __name__ == "__main__":
    _main()

"""A process that compiles: LLVM takes up to seconds for a function, and nothing may wait for it to stop.

Both ways go lines of JSON, each followed by as many bytes as it says: a module's text there, object code
back.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from typing import IO

# A write to a worker that is gone must not end us by SIGPIPE, which the command line leaves at its default.
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)


class Stopped(Exception):
    """The worker was stopped before it had an answer."""


class Worker:
    """A compiling process, started with the first module."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket, self._theirs = socket.socketpair()
        self._answers = self._socket.makefile("rb")
        self._stopped = False

    def start(self) -> None:
        """Start the process, if that has not been done. Raises Stopped."""
        if self._stopped:
            raise Stopped
        if self._process is None:
            with self._theirs as theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "xenon.recompiler.worker"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is ours to handle
                )

    def compile(self, text: str) -> bytes:
        """Object code of a module. Raises Stopped."""
        self.start()
        try:
            self._socket.sendall(_message(text.encode()), _NO_SIGNAL)
            return _receive(self._answers)
        except (OSError, EOFError, ValueError):
            raise Stopped from None

    def stop(self) -> None:
        """End the process; from any thread."""
        self._stopped = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Stop, and give the socket back; not while another thread compiles."""
        self.stop()
        for one in (self._answers, self._socket, self._theirs):
            one.close()


def _message(data: bytes) -> bytes:
    return json.dumps({"size": len(data)}).encode() + b"\n" + data


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
            sys.stdout.buffer.write(_message(compile_text(_receive(sys.stdin.buffer).decode())))
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    _main()

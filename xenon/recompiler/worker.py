"""A process that compiles: LLVM takes up to seconds for a function, and a run must not wait for it to end.

Each message is one JSON line with a byte count, then that many bytes. The parent sends LLVM text, and whether
to optimise it fully; the worker returns object code.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import IO

from xenon.errors import reason
from xenon.host.processes import Channel, start_talking

# The process is isolated: it finds Python's own library, and these packages where this process has them. No
# module of the current folder or of PYTHONPATH can take their place.
_PACKAGES = ("xenon", "unicorn", "llvmlite")
_START = """
import sys
from importlib.machinery import PathFinder

folders = dict(zip(sys.argv[1::2], sys.argv[2::2]))


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, [folders[name]]) if name in folders else None


sys.meta_path.insert(0, Finder)
from xenon.recompiler.worker import serve

serve()
"""


class Stopped(Exception):
    """The worker was stopped before it had an answer, or cannot work; says why."""


class Worker:
    """A compiling process, started with the first module."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._stopped = False
        self.busy_with = 0
        """The length of the module that is being compiled, 0 while there is none."""

    @property
    def is_stopped(self) -> bool:
        return self._stopped

    def start(self) -> None:
        """Start the process, if that has not been done. Raises Stopped."""
        if self._stopped:
            raise Stopped
        if self._process is None:
            try:
                self._process, self._channel = start_talking(_command())
            except OSError as error:
                raise Stopped(f"cannot start its process: {reason(error)}") from error

    def compile(self, text: str, optimised: bool = False) -> bytes:
        """Object code of a module (see codegen.compile_text). Raises Stopped."""
        self.start()
        assert self._channel is not None
        self.busy_with = len(text)
        try:
            self._channel.send(_message(text.encode(), optimised))
            return _receive(self._channel.answers)[0]
        except (OSError, EOFError, ValueError):
            raise Stopped("its process has ended") from None
        finally:
            self.busy_with = 0

    def stop(self) -> None:
        """End the process; from any thread."""
        self._stopped = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Stop, and give the channel back; not while another thread compiles."""
        self.stop()
        if self._channel is not None:
            self._channel.close()


def _command() -> list[str]:
    """Raises OSError where no Python is known, or a package is missing."""
    if not sys.executable:
        raise FileNotFoundError("the path of Python is not known")
    folders: list[str] = []
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise FileNotFoundError(f"{package} is not in a folder")
        folders += [package, str(Path(spec.origin).resolve().parents[1])]
    return [sys.executable, "-I", "-S", "-c", _START, *folders]


def _message(data: bytes, optimised: bool = False) -> bytes:
    return json.dumps({"size": len(data), "optimised": optimised}).encode() + b"\n" + data


def _receive(stream: IO[bytes]) -> tuple[bytes, bool]:
    """The bytes, and whether to optimise them. Raises EOFError where the other side is gone."""
    line = stream.readline()
    if not line:
        raise EOFError
    header = json.loads(line)
    size = header["size"]
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data, header["optimised"]


def serve() -> None:
    """The work of the process: answers until the parent is gone."""
    from xenon.recompiler.codegen import compile_text

    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while True:
            text, optimised = _receive(sys.stdin.buffer)
            sys.stdout.buffer.write(_message(compile_text(text.decode(), optimised)))
            sys.stdout.buffer.flush()

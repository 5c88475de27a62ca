"""The command line where nothing forks: one process does job after job, and is replaced after some of them.

The start of Python and the imports are most of what a short command costs on Windows. What a command leaves
in its process, such as caches, stays there for the next: `XENON_LLM_ALL` takes a new process each time.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

_SERVER = "import sys; sys.path[:] = {path!r}; import commands_in_turn; commands_in_turn.serve()"
_MOST_JOBS = 60  # of one process
_CRASH = "Traceback (most recent call last)"


class CommandsInTurn:
    """A process that does commands, started when the first is wanted. It ends with this process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._jobs = 0

    def run(
        self, words: Sequence[str], stdin: bytes, folder: str, environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        """What a command writes and its exit code. Raises TimeoutExpired."""
        process = self._ready_process()
        job = {"words": words, "stdin": stdin.hex(), "folder": folder, "environment": dict(environment)}
        assert process.stdin is not None
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
        lines: list[bytes] = []
        reader = threading.Thread(target=lambda: lines.append(_line(process)), daemon=True)
        reader.start()
        reader.join(timeout)
        if reader.is_alive():
            self._end()
            raise subprocess.TimeoutExpired(list(words), timeout)
        self._jobs += 1
        if not lines[0]:  # a command that ended its process
            code = process.wait()
            self._process = None
            return subprocess.CompletedProcess(words, code, b"", b"")
        answer = json.loads(lines[0])
        output, errors = bytes.fromhex(answer["stdout"]), bytes.fromhex(answer["stderr"])
        if self._jobs >= _MOST_JOBS or _CRASH.encode() in errors:
            self._end()
        return subprocess.CompletedProcess(words, answer["code"], output, errors)

    def _ready_process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            code = _SERVER.format(path=sys.path)
            command = [sys.executable, "-c", code]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._jobs = 0
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def serve() -> None:
    """For every job on stdin, a line with what it wrote and its exit code."""
    jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    first = Path.cwd()
    for line in jobs:
        job = json.loads(line)
        answer = _do(job["words"], bytes.fromhex(job["stdin"]), job["folder"], job["environment"])
        os.chdir(first)  # nobody can remove the folder of a process
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _do(words: list[str], given: bytes, folder: str, environment: dict[str, str]) -> dict[str, object]:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["xenon-llm", *words]
    taken: dict[str, bytes] = {}
    streams = _Pipe(given), _Taken(1, taken, "stdout"), _Taken(2, taken, "stderr")
    for stream in streams:
        stream.start()
    sys.stdin = io.TextIOWrapper(os.fdopen(0, "rb", closefd=False), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(
        os.fdopen(2, "wb", closefd=False), encoding="utf-8", errors="backslashreplace", line_buffering=True
    )
    with warnings.catch_warnings():
        code = _exit_code()
    for text in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            text.flush()
    for stream in streams:
        stream.end()
    gc.collect()  # consoles have hundreds of megabytes
    return {"code": code, "stdout": taken["stdout"].hex(), "stderr": taken["stderr"].hex()}


def _exit_code() -> int:
    try:
        importlib.import_module("xenon.cli.start").main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    return 1


class _Pipe:
    """Standard input from bytes."""

    def __init__(self, given: bytes) -> None:
        self._given = given

    def start(self) -> None:
        source, self._sink = os.pipe()
        os.dup2(source, 0)
        os.close(source)
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def end(self) -> None:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)  # a writer that still waits fails
        os.close(nothing)
        self._thread.join()

    def _write(self) -> None:
        with contextlib.suppress(OSError), os.fdopen(self._sink, "wb") as stream:
            stream.write(self._given)


class _Taken:
    """A standard stream into bytes."""

    def __init__(self, number: int, taken: dict[str, bytes], name: str) -> None:
        self._number, self._taken, self._name = number, taken, name

    def start(self) -> None:
        self._source, sink = os.pipe()
        os.dup2(sink, self._number)
        os.close(sink)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def end(self) -> None:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._number)
        os.close(nothing)
        self._thread.join()

    def _read(self) -> None:
        with os.fdopen(self._source, "rb") as stream:
            self._taken[self._name] = stream.read()

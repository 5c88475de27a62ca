"""`xenon-llm` in a process of its own that starts at once, a fork of one that has imported everything.

The imports are most of what a short command costs. Tests of the start itself, of signals, of terminals and of
pipes that close start the command line anew, with COMMAND.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from commands_in_turn import CommandsInTurn
from support import WHOLE

Word = str | Path
COMMAND = [sys.executable, "-c", "from xenon.cli.app import main; main()"]
_SERVER = "import sys; sys.path[:] = {path!r}; import command_line; command_line._serve()"
_MOST_INPUT = 65536  # bytes that a pipe holds


@dataclass(frozen=True)
class _Job:
    words: list[str]
    folder: str
    environment: dict[str, str]
    stdin: str  # the files
    stdout: str
    stderr: str


def run_command(
    *words: Word,
    stdin: bytes | None = None,
    cwd: Path | None = None,
    timeout: float = 240,
    environment: Mapping[str, str] = {},
) -> subprocess.CompletedProcess[bytes]:
    """What `xenon-llm` with these words writes, and its exit code, or minus the signal that ended it.

    stdin: what a pipe holds; None: /dev/null. Lines on standard error end in a newline, on Windows too.
    Raises TimeoutExpired after `timeout` seconds.
    """
    typed = [str(word) for word in words]
    if not hasattr(os, "fork"):
        done = _without_fork(typed, stdin, cwd, timeout, {**os.environ, **environment})
        errors = done.stderr.replace(os.linesep.encode(), b"\n")
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout, errors)
    server = _server()
    assert server.stdin is not None and server.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("stdin", "stdout", "stderr")]
        if stdin is not None:
            files[0].write_bytes(stdin)
        job = _Job(typed, str(cwd or Path.cwd()), {**os.environ, **environment}, *map(str, files))
        server.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        server.stdin.flush()
        if not select.select([server.stdout], [], [], timeout)[0]:
            os.killpg(server.pid, signal.SIGKILL)
            _server.cache_clear()
            raise subprocess.TimeoutExpired(typed, timeout)
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(typed, code, files[1].read_bytes(), files[2].read_bytes())


def run_command_text(
    *words: Word,
    stdin: bytes | None = None,
    cwd: Path | None = None,
    timeout: float = 240,
    environment: Mapping[str, str] = {},
) -> subprocess.CompletedProcess[str]:
    """The same, with its output as text."""
    done = run_command(*words, stdin=stdin, cwd=cwd, timeout=timeout, environment=environment)
    texts = (stream.decode().replace(os.linesep, "\n") for stream in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, *texts)


def _without_fork(
    typed: list[str], stdin: bytes | None, cwd: Path | None, timeout: float, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes]:
    given = stdin if stdin is not None else b""  # an empty pipe in the place of /dev/null
    if not WHOLE:
        return _in_turn().run(typed, given, str(cwd or Path.cwd()), environment, timeout)
    command = [sys.executable, "-c", "from xenon.cli.start import main; main()", *typed]
    return subprocess.run(
        command, input=given, capture_output=True, cwd=cwd, env=dict(environment), timeout=timeout
    )


@functools.cache
def _in_turn() -> CommandsInTurn:
    return CommandsInTurn()


@functools.cache
def _server() -> subprocess.Popen[bytes]:
    """The process that forks; it ends when this one does and closes the pipe."""
    code = _SERVER.format(path=sys.path)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )


def _serve() -> None:
    """For every job on stdin, a line with the exit code of a process that has done it."""
    import llama2c
    import loader
    import xenon
    from xenon.cli.app import COMMANDS, app

    for package in (loader, llama2c, xenon):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)
    for name in COMMANDS:  # imports what reads the words and what prints the help
        with contextlib.redirect_stdout(io.StringIO()):
            app([name, "--help"], standalone_mode=False)
    _fill_caches()
    gc.freeze()  # the end of a fork need not look at it
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(_Job(**json.loads(line)))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _fill_caches() -> None:
    """What every process finds out for itself about its engines and about the guest, once for all forks."""
    from llama2c import guest_program
    from xenon.console import Console, CpuKind, MachineSettings

    for kind in (None, CpuKind.UNICORN):
        Console(MachineSettings(cpu=kind)).boot(guest_program(), [])
    gc.collect()


def _become(job: _Job) -> None:
    """The command, with standard streams, folder and environment as from a shell; raises SystemExit in the
    long form. In the short one the process ends as Python ends it, but for the modules, which are left: to
    take them down takes longer than most commands."""
    os.environ.clear()
    os.environ.update(job.environment)
    os.chdir(job.folder)
    os.dup2(_input(Path(job.stdin)), 0)
    for descriptor, path in ((1, job.stdout), (2, job.stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    sys.argv = ["xenon-llm", *job.words]
    from xenon.cli.app import main

    try:
        main()
    except SystemExit as end:
        if WHOLE or not isinstance(end.code, int | None):
            raise
        # What the interpreter does at its end, but for taking down modules; it has no public name.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code or 0)


def _input(path: Path) -> int:
    """A pipe that holds what is in the file, or /dev/null without a file."""
    if not path.exists():
        return os.open(os.devnull, os.O_RDONLY)
    data = path.read_bytes()
    assert len(data) <= _MOST_INPUT
    source, sink = os.pipe()
    os.write(sink, data)
    os.close(sink)
    return source

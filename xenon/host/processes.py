"""Processes: how many processors there are, children that talk with their parent, and what a fork forgets."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol


class Channel(Protocol):
    """Bytes to and from a child's standard streams."""

    @property
    def answers(self) -> IO[bytes]:
        """What the child writes."""

    def send(self, data: bytes) -> None:
        """All of it. Raises OSError where the child is gone, and never ends this process."""

    def close(self) -> None: ...


def usable_processors() -> int:
    """The processors of this computer that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def after_fork(function: Callable[[], object]) -> None:
    """Call a function in every copy of this process, where the system makes copies."""
    if sys.platform != "win32":
        os.register_at_fork(after_in_child=function)


if sys.platform == "win32":
    import _winapi

    class _Pipes:
        """A pipe each way."""

        def __init__(self, process: subprocess.Popen[bytes]) -> None:
            assert process.stdin is not None and process.stdout is not None
            self._requests = process.stdin
            self.answers = process.stdout

        def send(self, data: bytes) -> None:
            self._requests.write(data)
            self._requests.flush()

        def close(self) -> None:
            for stream in (self.answers, self._requests):
                with contextlib.suppress(OSError):  # what is not sent any more
                    stream.close()

    @contextlib.contextmanager
    def deaf_to_ctrl_c() -> Iterator[None]:
        """Children that multiprocessing starts in the block never see Ctrl-C: they are in process groups of
        their own, which multiprocessing has no parameter for."""
        create = _winapi.CreateProcess

        def in_own_group(*arguments: Any) -> Any:
            changed = list(arguments)
            changed[5] |= subprocess.CREATE_NEW_PROCESS_GROUP  # the flags
            return create(*changed)

        _winapi.CreateProcess = in_own_group
        try:
            yield
        finally:
            _winapi.CreateProcess = create

    def start_talking(command: Sequence[str]) -> tuple[subprocess.Popen[bytes], Channel]:
        """A child that Ctrl-C does not reach, and the channel to it. Raises OSError."""
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW,
        )
        return process, _Pipes(process)

    def own_group() -> Mapping[str, Any]:
        """Arguments of Popen for a child that can be ended with its own children."""
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}

    def end_group(process: subprocess.Popen[bytes]) -> None:
        """End a child that was started with `own_group`, and its children."""
        killer = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        with contextlib.suppress(OSError):
            subprocess.run(killer, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        with contextlib.suppress(OSError):
            process.kill()
        process.wait()

else:
    if TYPE_CHECKING:
        from socket import socket

    class _Socket:
        """A socket, for both ways. A write to a child that is gone must not end this process by SIGPIPE,
        which the command line leaves at its default: `flags` say so."""

        def __init__(self, ours: socket, flags: int) -> None:
            self._socket, self._flags = ours, flags
            self.answers = ours.makefile("rb")

        def send(self, data: bytes) -> None:
            self._socket.sendall(data, self._flags)

        def close(self) -> None:
            self.answers.close()
            self._socket.close()

    def start_talking(command: Sequence[str]) -> tuple[subprocess.Popen[bytes], Channel]:
        """A child that Ctrl-C does not reach, and the channel to it. Raises OSError."""
        import socket  # most runs start no child

        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        if sys.platform == "darwin":
            ours.setsockopt(socket.SOL_SOCKET, 0x1022, 1)  # SO_NOSIGPIPE: it has no MSG_NOSIGNAL
        return process, _Socket(ours, getattr(socket, "MSG_NOSIGNAL", 0))

    @contextlib.contextmanager
    def deaf_to_ctrl_c() -> Iterator[None]:
        """Children started in the block never see Ctrl-C. This process sees it behind the block."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def own_group() -> Mapping[str, Any]:
        """Arguments of Popen for a child that can be ended with its own children."""
        return {"start_new_session": True}

    def end_group(process: subprocess.Popen[bytes]) -> None:
        """End a child that was started with `own_group`, and its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

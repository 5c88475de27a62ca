"""The terminal and the clock: all that a program has of the world outside besides its disc."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import BinaryIO, Protocol

from xenon.host.streams import Input

STDIN = 0
STDOUT = 1
STDERR = 2

# How often a wait on the host looks whether the machine is being stopped, in seconds.
_PATIENCE = 0.05


class Cancelled(Exception):
    """The machine is being stopped while a system call waits."""


class Settable(Protocol):
    """A threading.Event, as far as waiting for it goes."""

    def is_set(self) -> bool:
        """Whether it is set."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for at most `timeout` seconds; whether it is."""


class Clock(Protocol):
    """Time as the guest sees it, in nanoseconds."""

    def realtime(self) -> int:
        """Since 1970."""

    def monotonic(self) -> int:
        """Since some moment, never backwards."""

    def wait(self, nanoseconds: int, event: Settable) -> bool:
        """Let time pass, or less if the event is set meanwhile; whether it was."""


class RealClock:
    """The host's time."""

    def realtime(self) -> int:
        return time.time_ns()

    def monotonic(self) -> int:
        return time.monotonic_ns()

    def wait(self, nanoseconds: int, event: Settable) -> bool:
        return event.wait(min(nanoseconds / 1e9, threading.TIMEOUT_MAX))


class Terminal:
    """Descriptors 0, 1 and 2.

    `stdin` is any binary stream; one that has a descriptor is read through it and past its own buffer. None
    is an empty input. `emit` takes each piece of output with its descriptor. `windows` gives rows and
    columns of those descriptors that are terminals in the eyes of isatty(); the others are pipes.
    """

    def __init__(
        self,
        stdin: BinaryIO | None,
        emit: Callable[[int, bytes], None],
        windows: Mapping[int, tuple[int, int]],
    ) -> None:
        self._stdin = stdin
        self._emit = emit
        self.windows = windows
        self._reading = threading.Lock()  # not held while there is nothing to read
        self._input: Input | None = None
        if stdin is not None:
            try:
                self._input = Input(stdin.fileno())
            except (OSError, ValueError):
                self._input = None

    def write(self, stream: int, data: bytes) -> None:
        """Output of the program, to STDOUT, STDERR or a pipe."""
        self._emit(stream, data)

    def read(self, count: int, stopping: threading.Event) -> bytes:
        """Up to `count` bytes, waiting for the first; none at the end of input. Raises Cancelled."""
        if self._stdin is None or count == 0:
            return b""
        if self._input is None:
            with self._reading:
                return self._stdin.read(count)
        while True:
            self.wait(None, stopping)
            with self._reading:
                if self.wait(0, stopping):  # no other thread was faster
                    try:
                        return self._input.read(count)
                    except OSError:
                        return b""

    def wait(self, seconds: float | None, stopping: threading.Event) -> bool:
        """Wait until there is input or its end, for at most `seconds`; whether there is. Raises Cancelled."""
        if self._input is None:
            return True
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            if stopping.is_set():
                raise Cancelled
            left = _PATIENCE if deadline is None else min(_PATIENCE, deadline - time.monotonic())
            if self._input.wait(max(left, 0.0)):
                return True
            if left < _PATIENCE:
                return False

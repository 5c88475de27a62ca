"""The console: a machine with Linux as its personality. Boots a program and hands out what it writes."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import BinaryIO, NamedTuple

from xenon.errors import ErrorCode, XenonError
from xenon.hardware.memory_map import MIB
from xenon.linux.files import Bytes, Disc, HostFile
from xenon.linux.layout import LINUX_MAP
from xenon.linux.personality import SERVED, Linux
from xenon.linux.program import Program, parse_program, read_program
from xenon.linux.terminal import Clock, RealClock, Terminal
from xenon.machine import LimitReached, Machine, MachineSettings, check_threads
from xenon.recompiler.cpu_kind import CpuKind, default_kind
from xenon.recompiler.outcome import Tier

__all__ = [
    "MIB",
    "MOST_WAITING",
    "Bytes",
    "Console",
    "CpuKind",
    "HostFile",
    "LimitReached",
    "MachineSettings",
    "Output",
    "check_threads",
    "check_timeout",
    "default_kind",
]

# Seconds that a reader sleeps: less than one sees. A look takes a processor from the program's threads.
_LEAST_NAP, _MOST_NAP = 0.002, 0.016
_NAP = 0.0005  # seconds until a program that waits for its reader looks first
_LONG_NAP = 0.01  # seconds between two looks of a program that waits for its reader
_MOST_WAIT = 0.2  # seconds: a signal that comes just before a wait does not end it, and is served after
MOST_WAITING = 256  # pieces of output (64 KiB at most each) that wait for the reader; then the program waits


@dataclass(slots=True)  # not frozen: that makes it three times as slow to make
class Output:
    """What one system call wrote: the descriptor, 1, 2 or one of the console's pipes, and the bytes."""

    fd: int
    data: bytes


class _End(NamedTuple):
    """The program has ended: with a status, stopped (None), or with an error."""

    status: int | None
    error: BaseException | None = None


def check_timeout(seconds: float | None) -> None:
    """Raises XenonError for a time limit that is none; infinity is no limit."""
    if seconds is not None and not seconds >= 0:
        raise XenonError(f"timeout {seconds:g}, expected 0 or more seconds", code=ErrorCode.BAD_VALUE)


class Console:
    """An Xbox 360 for one program: grant files with `disc.add`, `boot` a program, read what it writes from
    `run`.

    `settings` describes the machine; `stdin` is what the program reads, nothing by default; `windows`
    (descriptor: rows, columns) says which of its streams are terminals; the others are pipes; `pipes` are
    descriptors above 2 that the program may write to, which come as Output too. Raises XenonError for a
    memory size or a number of threads that cannot be, and for a way to run CPUs that is not installed.
    """

    def __init__(
        self,
        settings: MachineSettings | None = None,
        stdin: BinaryIO | None = None,
        clock: Clock | None = None,
        windows: Mapping[int, tuple[int, int]] | None = None,
        pipes: Sequence[int] = (),
    ) -> None:
        self.machine = Machine(settings, LINUX_MAP, served=SERVED)
        self.memory = self.machine.memory
        self.cpus = self.machine.cpus
        self.recompiler = self.machine.recompiler
        self.disc = Disc()
        self.exit_status: int | None = None
        """The program's own exit status, once it has ended by itself."""
        self._clock = clock or RealClock()
        self._events: SimpleQueue[Output | _End] = SimpleQueue()
        self._terminal = Terminal(stdin, self._emit, windows or {})
        self._pipes = tuple(pipes)
        self._linux: Linux | None = None

    def boot(
        self,
        program: Path | str | bytes,
        arguments: Sequence[str | bytes] = (),
        environment: Mapping[str, str] | None = None,
        name: str | None = None,
        stack_bytes: int | None = None,
        hot: Sequence[str] = (),
    ) -> Program:
        """Load a program (its path or its bytes) with its arguments; `name` is what it and messages call it,
        `stack_bytes` its stack (by default what its file asks for, else 8 MiB), `hot` the functions that
        the recompiler begins with.

        Raises XenonError for a file that is no such program, OutOfMemoryError when it does not fit.
        """
        if self._linux is not None:
            raise XenonError("this console has booted already", "make a new Console for each program")
        if isinstance(program, bytes):
            checked = parse_program(name or "program", program)
        else:
            checked = read_program(program, name)
        words = [os.fsencode(word) for word in (name or checked.name, *arguments)]
        variables = {os.fsencode(key): os.fsencode(value) for key, value in (environment or {}).items()}
        if any(b"\0" in word for word in (*words, *variables, *variables.values())):
            raise XenonError("an argument or a variable contains a zero byte")
        self._linux = Linux(
            self.machine,
            checked,
            words,
            variables,
            self.disc,
            self._terminal,
            self._clock,
            self._end,
            self._pipes,
            stack_bytes,
        )
        self.machine.know(checked.functions(self.base), hot)
        return checked

    @property
    def base(self) -> int:
        """What was added to the program's addresses when it was loaded."""
        return self._linux.process.loaded.base if self._linux else 0

    @property
    def threads_with_work(self) -> frozenset[int]:
        """The hardware threads beside the first that the program has given a task."""
        return self._linux.process.tasks.running if self._linux else frozenset()

    def compile(self, names: Sequence[str]) -> None:
        """Compile these functions of the booted program, and what they call, now; nothing on Unicorn."""
        if self.recompiler is not None:
            self.recompiler.compile_all(self.recompiler.functions.addresses_of(set(names)))

    def optimise(self, names: Sequence[str]) -> None:
        """Compile these functions of the booted program by the full optimiser now; what they call stays."""
        if self.recompiler is not None:
            for address in self.recompiler.functions.addresses_of(set(names)):
                self.recompiler.compile(address, tier=Tier.OPTIMISED)

    def run(
        self, timeout: float | None = None, instructions: int | None = None
    ) -> Generator[Output, None, None]:
        """Run the program to its end and yield what it writes, as it writes it. Closing the generator stops
        it.

        Raises GuestFault when the program is at fault, LimitReached after `timeout` seconds or
        `instructions`, XenonError for a timeout that is no time.
        """
        if self._linux is None:
            raise XenonError("nothing to run", "call boot() first")
        check_timeout(timeout)
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        try:
            if instructions is None:  # only Unicorn counts instructions
                self.machine.compile_in_background()
            self._linux.start(instructions)
            for event in self._happening(deadline):
                if isinstance(event, Output):
                    yield event
                    continue
                if event.error is not None:
                    raise event.error
                self.exit_status = event.status
                return
            name = self._linux.process.loaded.program.name
            raise LimitReached(f"{name}: time limit of {timeout:g} s reached")
        finally:
            self.machine.stop()

    def _happening(self, deadline: float) -> Iterator[Output | _End]:
        """The events, as they come, up to the deadline.

        Behind an event the reader sleeps for a moment without waiting at the queue, so that a program that
        writes often does not have to wake it each time: the longer, the more often it finds something then.
        """
        nap = _LEAST_NAP
        while (left := deadline - time.monotonic()) > 0:
            if self._events.empty():
                time.sleep(nap)
                nap = _LEAST_NAP if self._events.empty() else min(2 * nap, _MOST_NAP)
            try:
                event = self._events.get(timeout=min(left, _MOST_WAIT))
            except Empty:
                continue
            yield event
        for _ in range(self._events.qsize()):  # what was written within the time
            yield self._events.get_nowait()

    def _emit(self, stream: int, data: bytes) -> None:
        self._put(Output(stream, data))

    def _end(self, status: int | None, error: BaseException | None) -> None:
        self._put(_End(status, error))

    def _put(self, event: Output | _End) -> None:
        """Hand over to the reader, waiting while it is far behind; nobody reads any more once the machine is
        stopped."""
        nap = _NAP
        while self._events.qsize() >= MOST_WAITING:
            if self.machine.stopping.is_set():
                return
            time.sleep(nap)
            nap = min(2 * nap, _LONG_NAP)
        self._events.put(event)

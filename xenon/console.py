"""The console: wires RAM, CPU, GPU and kernel together, boots a program and hands out what it writes."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from xenon.errors import EXIT_USAGE, XenonError
from xenon.hardware.bus import Bus
from xenon.hardware.cpu import Cpu
from xenon.hardware.gpu import Gpu
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import GPU_REGISTERS, HARDWARE_THREADS, MIB
from xenon.hardware.pages import Pages
from xenon.linux.address_space import AddressSpace
from xenon.linux.files import Bytes, Disc, HostFile
from xenon.linux.loading import load
from xenon.linux.process import Process, TaskEnd, TerminalEnd
from xenon.linux.program import Program, parse_program, read_program
from xenon.linux.symbols import Symbols
from xenon.linux.terminal import Clock, RealClock, Terminal
from xenon.linux.thread import LimitReached, run_thread
from xenon.linux.threads import HardwareThreads
from xenon.machine import MachineSettings
from xenon.recompiler.kind import CpuKind, default_kind, make_cpus
from xenon.recompiler.recompiler import Function
from xenon.recompiler.tier import TierUp

__all__ = ["MIB", "Bytes", "Console", "CpuKind", "HostFile", "MachineSettings", "Output", "default_kind"]

_STOP_AGAIN = 0.01  # seconds between two requests to stop: an engine may miss one (see UnicornCpu.stop)
_MOST_WAITING = 256  # pieces of output (64 KiB at most each) that wait for the reader; then the program waits


@dataclass(frozen=True, slots=True)
class Output:
    """What one system call wrote: the descriptor, 1, 2 or one of the console's pipes, and the bytes."""

    fd: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _End:
    """A thread has ended: with a status, stopped (None), or with an error."""

    status: int | None
    error: BaseException | None = None


def check_threads(threads: int) -> None:
    """Raises XenonError for a number of hardware threads that the console does not have."""
    if not 1 <= threads <= HARDWARE_THREADS:
        raise XenonError(
            f"{threads} hardware threads, expected 1 to {HARDWARE_THREADS}",
            "the console has three cores of two threads each",
            EXIT_USAGE,
        )


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
        settings = settings or MachineSettings()
        check_threads(settings.threads)
        self.memory = UnifiedMemory(settings.memory_bytes)
        self.pages = Pages(self.memory)
        self.bus = Bus()
        self.gpu = Gpu(self.memory, self.bus.fail)
        self.bus.attach(GPU_REGISTERS, self.gpu)
        self.cpus: Sequence[Cpu]
        self.cpus, self.recompiler = make_cpus(
            self.pages, self.bus, settings.threads, settings.cpu, settings.measured
        )
        self._tier_up: TierUp | None = None
        self.disc = Disc()
        self.exit_status: int | None = None
        """The program's own exit status, once it has ended by itself."""
        self._clock = clock or RealClock()
        self._events: queue.Queue[Output | _End] = queue.Queue(_MOST_WAITING)
        self._terminal = Terminal(stdin, self._emit, windows or {})
        self._pipes = tuple(pipes)
        self._cancelled = threading.Event()
        self._process: Process | None = None

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
        if self._process is not None:
            raise XenonError("this console has booted already", "make a new Console for each program")
        if isinstance(program, bytes):
            checked = parse_program(name or "program", program)
        else:
            checked = read_program(program, name)
        words = [os.fsencode(word) for word in (name or checked.name, *arguments)]
        variables = {os.fsencode(key): os.fsencode(value) for key, value in (environment or {}).items()}
        if any(b"\0" in word for word in (*words, *variables, *variables.values())):
            raise XenonError("an argument or a variable contains a zero byte")
        space = AddressSpace(self.pages)
        loaded = load(checked, space, words, variables, os.urandom(16), stack_bytes)
        self._process = Process(
            space, self.disc, self._terminal, self._clock, loaded, len(self.cpus), self._cancelled
        )
        for number in self._pipes:
            self._process.descriptors[number] = TerminalEnd(number)
        self._process.threads = HardwareThreads(self.cpus, self._run_task)
        if self.recompiler is not None:
            known = Symbols(checked, loaded.base).functions
            self.recompiler.know(Function(one.address, one.size, one.name) for one in known)
            self._tier_up = TierUp(self.recompiler, hot)
        return checked

    @property
    def base(self) -> int:
        """What was added to the program's addresses when it was loaded."""
        return self._process.loaded.base if self._process else 0

    def compile(self, names: Sequence[str]) -> None:
        """Compile these functions of the booted program, and what they call, now; nothing on Unicorn."""
        if self.recompiler is not None:
            wanted = set(names)
            known = self.recompiler.functions
            self.recompiler.compile_all([one.address for one in known if one.name in wanted])

    def run(
        self, timeout: float | None = None, instructions: int | None = None
    ) -> Generator[Output, None, None]:
        """Run the program to its end and yield what it writes, as it writes it. Closing the generator stops
        it.

        Raises GuestFault when the program is at fault, LimitReached after `timeout` seconds or
        `instructions`.
        """
        if self._process is None:
            raise XenonError("nothing to run", "call boot() first")
        worker = threading.Thread(
            target=self._work,
            args=(self._process, self.cpus[0], instructions),
            name="hardware thread 0",
            daemon=True,
        )
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._tier_up is not None and instructions is None:
            self._tier_up.start()
        worker.start()
        try:
            while True:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                try:
                    event = self._events.get(timeout=left)
                except queue.Empty:
                    name = self._process.loaded.program.name
                    raise LimitReached(f"{name}: time limit of {timeout:g} s reached") from None
                if isinstance(event, Output):
                    yield event
                    continue
                if event.error is not None:
                    raise event.error
                self.exit_status = event.status
                return
        finally:
            self._stop(worker)

    def _work(self, process: Process, cpu: Cpu, instructions: int | None) -> None:
        """On a thread of its own: a signal such as Ctrl-C reaches only the main thread, which waits for
        events."""
        end = _End(None)
        try:
            cpu.write_gpr(1, process.loaded.stack_pointer)
            # ABI v1 finds its table of contents in r2, v2 computes it from its entry point in r12.
            cpu.write_gpr(2, process.loaded.toc)
            cpu.write_gpr(12, process.loaded.entry)
            if instructions is not None:
                cpu.limit_instructions(instructions)
            end = _End(run_thread(process, cpu, process.loaded.entry))
        except BaseException as error:  # handed over to the thread that called run
            end = _End(None, error)
        finally:
            self._put(end)

    def _run_task(self, cpu: Cpu, pc: int) -> None:
        """On a further hardware thread: run a task; all but its return ends the program."""
        assert self._process is not None
        try:
            end = _End(run_thread(self._process, cpu, pc))
        except TaskEnd:
            return
        except BaseException as error:  # handed over to the thread that called run
            end = _End(None, error)
        self._put(end)

    def _emit(self, stream: int, data: bytes) -> None:
        self._put(Output(stream, data))

    def _put(self, event: Output | _End) -> None:
        """Hand over to the reader, waiting while it is far behind; nobody reads any more once all is
        stopped."""
        while not self._cancelled.is_set():
            try:
                self._events.put(event, timeout=_STOP_AGAIN)
                return
            except queue.Full:
                continue

    def _stop(self, worker: threading.Thread) -> None:
        self._cancelled.set()
        self.gpu.stop()
        further = self._process.threads if self._process else None
        if further is not None:
            further.stop()
        while worker.is_alive() or (further is not None and further.alive()):
            for cpu in self.cpus:
                cpu.stop()
            time.sleep(_STOP_AGAIN) if not worker.is_alive() else worker.join(_STOP_AGAIN)
        if self._tier_up is not None:
            self._tier_up.close()

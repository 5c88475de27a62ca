"""The machine: RAM, bus, GPU and CPUs; it runs a CPU to its next trap, which a personality answers.

A device needs a file in `hardware/` and a place in `devices` (`Machine.__init__`); a personality (an
operating system, bare metal, a debugger around one of them) needs a class with one method, `serve`.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

from xenon.errors import ErrorCode, XenonError
from xenon.hardware.bus import Bus, Device
from xenon.hardware.cpu import Cpu, Trap, TrapKind
from xenon.hardware.gpu import GPU_REGISTERS, Gpu
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import HARDWARE_THREADS, RAM_BYTES, XENON, MemoryMap, Range
from xenon.hardware.pages import Pages
from xenon.host.processes import after_fork
from xenon.powerpc.foreign import ForeignInstructions
from xenon.powerpc.functions import Functions
from xenon.powerpc.system import Instructions
from xenon.recompiler.cpu_kind import CpuKind
from xenon.recompiler.hand_over import note_deviations
from xenon.recompiler.kind import make_cpus
from xenon.recompiler.tier import TierUp

_STOP_AGAIN = 0.01  # seconds between two requests to stop: an engine may miss one (see UnicornCpu.stop)


class LimitReached(XenonError):
    """The program used up the time or the instructions it was given."""

    code = ErrorCode.LIMIT_REACHED


@dataclass(frozen=True, slots=True)
class MachineSettings:
    """The machine that a program gets, made once and handed down whole.

    `memory_bytes` is the RAM, the system's 32 MiB included; `cpu` is how hardware threads run guest code
    (None: the faster way that is installed); `threads` is the number of hardware threads, 1 to 6; `measured`
    gives them instruments that count and take samples, for a profile. `allowed` names instructions that the
    console lacks and that may run all the same (None: all that the engine has; see powerpc/foreign.py).
    """

    memory_bytes: int = RAM_BYTES
    cpu: CpuKind | None = None
    threads: int = 1
    measured: bool = False
    allowed: frozenset[str] | None = frozenset()


class Personality(Protocol):
    """What a program takes the machine for."""

    def serve(self, cpu: Cpu, trap: Trap) -> int:
        """Answer a trap of a CPU, which rests; the address to go on at. Threads of several CPUs call this at
        once. What it raises ends the run of this CPU."""


class Runner(Protocol):
    """What runs CPUs in the machine's place: a debugger."""

    def run(self, cpu: Cpu, pc: int, personality: Personality) -> None:
        """As `Machine.run`."""


class StoppableDevice(Device, Protocol):
    """A device of a machine."""

    def stop(self) -> None:
        """Come to rest for good, from any thread."""


def check_threads(threads: int) -> None:
    """Raises XenonError for a number of hardware threads that the console does not have."""
    if not 1 <= threads <= HARDWARE_THREADS:
        raise XenonError(
            f"{threads} hardware threads, expected 1 to {HARDWARE_THREADS}",
            "the console has three cores of two threads each",
            ErrorCode.BAD_VALUE,
        )


class Machine:
    """The hardware of one console, for any personality, which may reserve more of its `memory_map`.

    `devices` are on the bus in the GPU's place, each at a window. CPUs come back with a trap PRIVILEGED at
    each of the instructions `served`. With `lets_rest`, a thread that hints that it waits rests for a moment.

    Raises XenonError for a memory size or a number of threads that cannot be, and for a way to run CPUs that
    is not installed.
    """

    def __init__(
        self,
        settings: MachineSettings | None = None,
        memory_map: MemoryMap = XENON,
        devices: Sequence[tuple[Range, StoppableDevice]] | None = None,
        served: Instructions | None = None,
        lets_rest: bool = False,
    ) -> None:
        settings = settings or MachineSettings()
        check_threads(settings.threads)
        self.memory = UnifiedMemory(settings.memory_bytes, memory_map)
        self.pages = Pages(self.memory)
        self.bus = Bus()
        self.gpu = Gpu(self.pages, self.bus.fail)
        self.stopping = threading.Event()
        """Set once `stop` is called."""
        self.on_stop: list[Callable[[], None]] = [self.stopping.set]
        """What `stop` calls first: everything that wakes what waits."""
        self.runner: Runner | None = None
        """Who runs the CPUs instead."""
        for window, device in ((GPU_REGISTERS, self.gpu),) if devices is None else devices:
            self.bus.attach(window, device)
            self.on_stop.append(device.stop)
        self.cpus, self.recompiler = make_cpus(
            self.pages, self.bus, settings.threads, settings.cpu, settings.measured
        )
        foreign = None if settings.allowed is None else ForeignInstructions(settings.allowed)
        for cpu in self.cpus:
            if foreign is None or settings.allowed:
                cpu.turn_vsx_on()
            if foreign is not None:
                cpu.trap_at(foreign, TrapKind.FOREIGN)
            if served is not None:
                cpu.trap_at(served, TrapKind.PRIVILEGED)
        if lets_rest:
            for cpu in self.cpus:
                cpu.rest_at_hints()
            if self.recompiler is not None:
                self.recompiler.leave_waits = True
        self._tier_up: TierUp | None = None
        self._host_threads: dict[int, _HostThread] = {}

    def know(self, functions: Functions, hot: Sequence[str] = (), interpreted: Collection[str] = ()) -> None:
        """Tell the recompiler, if there is one, the functions of the program, the names of those to begin
        with, and of those to leave to Unicorn: to compiled code, an access to a device is a way round."""
        if self.recompiler is not None:
            self.recompiler.know(functions, interpreted)
            self._tier_up = TierUp(self.recompiler, hot)

    def compile_in_background(self) -> None:
        """Let hot functions be compiled while the program runs, if there is a recompiler that knows it."""
        if self._tier_up is not None:
            self._tier_up.start()

    @property
    def is_compiling(self) -> bool:
        """Whether a compiler takes one of this computer's processors."""
        return self._tier_up is not None and self._tier_up.is_busy

    def run(self, cpu: Cpu, pc: int, personality: Personality) -> None:
        """Run guest code on a CPU from `pc`, on the caller's host thread, until the machine is stopped.

        Raises what the personality raises.
        """
        if self.runner is not None:
            self.runner.run(cpu, pc, personality)
            return
        while not self.stopping.is_set():
            trap = cpu.run(pc)
            pc = trap.pc if trap.kind is TrapKind.STOPPED else personality.serve(cpu, trap)

    def start(self, thread: int, work: Callable[[Cpu], None]) -> None:
        """Call `work` with the CPU of a hardware thread, on a host thread of its own, after what that was
        given before. `work` raises nothing."""
        if thread not in self._host_threads:
            _stop_at_exit(self)
            try:
                self._host_threads[thread] = _HostThread(thread, self.cpus[thread])
            except RuntimeError as error:
                raise XenonError(f"hardware thread {thread}: this computer gives no thread for it") from error
        self._host_threads[thread].give(work)

    def stop(self) -> None:
        """Stop everything; returns when no host thread is at work any more."""
        for wake in self.on_stop:
            wake()
        host_threads = list(self._host_threads.values())
        for host_thread in host_threads:
            host_thread.leave()
        while working := [host_thread for host_thread in host_threads if host_thread.is_alive()]:
            for cpu in self.cpus:
                cpu.stop()
            working[0].join(_STOP_AGAIN)
        if self._tier_up is not None:
            self._tier_up.close()
        note_deviations(self.cpus)
        _started.discard(self)


_started: set[Machine] = set()
"""Machines to stop before the interpreter ends, which would take its threads away inside the engine."""


def _stop_at_exit(machine: Machine) -> None:
    _started.add(machine)
    atexit.unregister(_stop_all)
    atexit.register(_stop_all)  # the last comes first: before unicorn's own, which closes running engines


def _stop_all() -> None:
    for machine in list(_started):
        machine.stop()


after_fork(_started.clear)  # a child process has none of the threads


class _HostThread(threading.Thread):
    """Runs one CPU. A thread of its own, since a signal such as Ctrl-C reaches only the main thread."""

    def __init__(self, number: int, cpu: Cpu) -> None:
        super().__init__(name=f"hardware thread {number}", daemon=True)
        self._cpu = cpu
        self._work: SimpleQueue[Callable[[Cpu], None] | None] = SimpleQueue()
        self.start()

    def give(self, work: Callable[[Cpu], None]) -> None:
        self._work.put(work)

    def leave(self) -> None:
        """End once there is nothing to do."""
        self._work.put(None)

    def run(self) -> None:
        while (work := self._work.get()) is not None:
            work(self._cpu)

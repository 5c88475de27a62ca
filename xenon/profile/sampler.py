"""Where time goes, by samples: a thread asks each CPU every few milliseconds where it is.

Nothing is paused. Compiled code says in memory which function is under way, and leaves r1 and LR there before
each call: that is read while it runs. On Unicorn the sample is taken in the CPU's own thread, before the next
block, where all registers are exact; it is that of the block which has just ended.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from enum import Enum

from xenon.hardware.cpu import Cpu
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES, RECOMPILER_EXCHANGE
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.profile.names import Functions
from xenon.profile.stacks import Stacks
from xenon.recompiler.cpu import RecompilerCpu

PERIOD = 0.002  # seconds
_STUBS = RECOMPILER_EXCHANGE & (RAM_BYTES - 1)  # as the instruments see it

Stack = tuple[int, ...]  # starts of functions: the innermost, its caller, and so on


class Place(Enum):
    """What a CPU is doing."""

    COMPILED = "compiled"
    UNICORN = "unicorn"
    SYSTEM = "system"  # the kernel serves a system call of the program


class Probe:
    """The samples of one CPU."""

    def __init__(self, number: int, cpu: Cpu, functions: Functions, stacks: Stacks) -> None:
        self.unicorn, self.native = parts(cpu)
        assert self.unicorn.instruments is not None
        self.instruments = self.unicorn.instruments
        self.samples: Counter[tuple[Place, Stack]] = Counter()
        self._is_first = number == 0
        self._functions = functions
        self._stacks = stacks
        self._started = False
        self._lock = threading.Lock()
        self._waiting: Counter[Place] = Counter()
        self.instruments.on_sample = self._take

    def ask(self) -> None:
        """A period has passed: take a sample, or have it taken."""
        if self.unicorn.is_running:
            self._started = True
            if self.native is not None and self.native.in_compiled_code:
                self._add(Place.COMPILED, self._stacks.walk(*self.native.frame()))
                return
            place = Place.UNICORN
        elif self._is_first and self._started:
            place = Place.SYSTEM
        else:
            return  # a further hardware thread without a task
        with self._lock:
            self._waiting[place] += 1
        self.instruments.wanted.value = 1

    def _add(self, place: Place, stack: Stack, periods: int = 1) -> None:
        with self._lock:
            self.samples[place, stack] += periods

    def _take(self, pc: int) -> None:
        """In the CPU's own thread, before the block at `pc`."""
        with self._lock:
            waiting, self._waiting = self._waiting, Counter()
        stack = self._stacks.walk(pc, *self.unicorn.frame())
        for place, periods in waiting.items():
            is_behind = place is Place.UNICORN
            self._add(place, self._before(stack) if is_behind else stack, periods)

    def _before(self, stack: Stack) -> Stack:
        """The stack in the block that Unicorn executed last, from what it is behind it."""
        last = self.instruments.last_instruction
        if _STUBS <= last < _STUBS + PAGE_BYTES:
            return stack  # Unicorn took over from compiled code
        start = self._functions.at(last).start
        return stack[stack.index(start) :] if start in stack else (start, *stack)

    def close(self) -> None:
        """The CPU has stopped: what was asked for last has no stack any more."""
        self.instruments.on_sample = lambda pc: None


class Sampler:
    """The thread that asks."""

    def __init__(self, probes: Sequence[Probe], period: float = PERIOD) -> None:
        self._probes = probes
        self._period = period
        self._closing = threading.Event()
        self._started = self._elapsed = 0.0
        self._rounds = 0
        self._thread = threading.Thread(target=self._work, name="sampler", daemon=True)

    def start(self) -> None:
        """The program begins to run."""
        self._started = time.perf_counter()
        self._thread.start()

    @property
    def measured_period(self) -> float:
        """Seconds between two samples as they came, on average."""
        return self._elapsed / self._rounds if self._rounds else self._period

    def close(self) -> None:
        """After the CPUs have stopped."""
        self._closing.set()
        self._thread.join()
        self._elapsed = time.perf_counter() - self._started
        for probe in self._probes:
            probe.close()

    def _work(self) -> None:
        while not self._closing.wait(self._period):
            self._rounds += 1
            for probe in self._probes:
                probe.ask()


def parts(cpu: Cpu) -> tuple[UnicornCpu, RecompilerCpu | None]:
    """The two engines of a CPU."""
    if isinstance(cpu, RecompilerCpu):
        return cpu.unicorn, cpu
    assert isinstance(cpu, UnicornCpu)
    return cpu, None

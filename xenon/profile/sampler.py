"""Where time goes, by samples: a thread asks each CPU every few milliseconds where it is.

Nothing is paused. Compiled code stores in memory which function is under way, and r1 and LR before each call;
the sampler reads them while the code runs. On Unicorn the CPU's own thread takes the sample before the next
block, where all registers are exact; the sample is that of the block which has just ended.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from enum import Enum

from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES, RECOMPILER_EXCHANGE
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.hardware.unicorn.instruments import Instruments
from xenon.notes import note
from xenon.profile.code_map import CodeMap
from xenon.profile.stacks import Stacks
from xenon.recompiler.attachment import CompiledCode

PERIOD = 0.002  # seconds
_STUBS = RECOMPILER_EXCHANGE & (RAM_BYTES - 1)  # as the instruments see it

Stack = tuple[int, ...]  # starts of functions: the innermost, its caller, and so on


class Activity(Enum):
    """What a CPU does while it is sampled."""

    OPTIMISED = "optimised"  # code of the recompiler's second tier
    COMPILED = "compiled"  # of its first
    UNICORN = "unicorn"
    SYSTEM = "system"  # Linux serves a system call of the program


class Probe:
    """The samples of one CPU."""

    def __init__(
        self,
        cpu: UnicornCpu,
        instruments: Instruments,
        compiled: CompiledCode | None,
        code: CodeMap,
        stacks: Stacks,
        is_first: bool,
    ) -> None:
        """`instruments` are the CPU's; `compiled` is attached to it; `is_first` is for the CPU of the
        program's first thread."""
        self.instruments = instruments
        self._position = cpu.position
        self._compiled = compiled
        self.samples: Counter[tuple[Activity, Stack]] = Counter()
        self._is_first = is_first
        self._code = code
        self._stacks = stacks
        self._started = False
        self._lock = threading.Lock()
        self._waiting: Counter[Activity] = Counter()
        self.instruments.on_sample = self._take

    def ask(self) -> None:
        """Take a sample after a period, or request one from the CPU's thread."""
        if self._position.is_running:
            self._started = True
            if self._compiled is not None and self._compiled.is_running:
                _, optimised = self._compiled.under_way
                compiled = Activity.OPTIMISED if optimised else Activity.COMPILED
                self._add(compiled, self._stacks.walk(*self._compiled.frame()))
                return
            activity = Activity.UNICORN
        elif self._is_first and self._started:
            activity = Activity.SYSTEM
        else:
            return  # a further hardware thread without a task
        with self._lock:
            self._waiting[activity] += 1
        self.instruments.wanted.value = 1

    def _add(self, activity: Activity, stack: Stack, periods: int = 1) -> None:
        with self._lock:
            self.samples[activity, stack] += periods

    def _take(self, pc: int) -> None:
        """Take the requested samples, in the CPU's own thread, before the block at `pc`."""
        with self._lock:
            waiting, self._waiting = self._waiting, Counter()
        stack = self._stacks.walk(pc, *self._position.frame())
        for activity, periods in waiting.items():
            is_behind = activity is Activity.UNICORN
            self._add(activity, self._before(stack) if is_behind else stack, periods)

    def _before(self, stack: Stack) -> Stack:
        """The stack in the block that Unicorn executed last, from the stack behind that block."""
        last = self.instruments.last_instruction
        if _STUBS <= last < _STUBS + PAGE_BYTES:
            return stack  # Unicorn took over from compiled code
        start = self._code.at(last).start
        return stack[stack.index(start) :] if start in stack else (start, *stack)

    def close(self) -> None:
        """Drop samples that were requested but not yet taken; the CPU has stopped."""
        self.instruments.on_sample = lambda pc: None


class Sampler:
    """The thread that asks all probes once a period."""

    def __init__(self, probes: Sequence[Probe], period: float = PERIOD) -> None:
        self._probes = probes
        self._period = period
        self._closing = threading.Event()
        self._started = self._elapsed = 0.0
        self._rounds = 0
        self._thread = threading.Thread(target=self._work, name="sampler", daemon=True)

    def start(self) -> None:
        """Call as the program begins to run."""
        self._started = time.perf_counter()
        self._thread.start()

    @property
    def measured_period(self) -> float:
        """Seconds between two samples, on average, as measured."""
        return self._elapsed / self._rounds if self._rounds else self._period

    def close(self) -> None:
        """Call after the CPUs have stopped."""
        self._closing.set()
        self._thread.join()
        self._elapsed = time.perf_counter() - self._started
        for probe in self._probes:
            probe.close()

    def _work(self) -> None:
        try:
            while not self._closing.wait(self._period):
                self._rounds += 1
                for probe in self._probes:
                    probe.ask()
        except Exception as error:
            note(f"the sampler has stopped ({error}); the profile's times end here, its counts do not")

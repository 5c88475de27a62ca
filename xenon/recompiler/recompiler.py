"""The compiled code of one console, shared by its CPUs: which functions have some, and why others do not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from xenon.hardware.cpu import Protection
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.powerpc.abi import LOCAL_ENTRY_BYTES, entries_of
from xenon.powerpc.functions import Function, Functions
from xenon.recompiler.cache import CodeCache
from xenon.recompiler.state import Dispatch
from xenon.recompiler.worker import Stopped, Worker

if TYPE_CHECKING:
    from xenon.recompiler.cpu import RecompilerCpu


class Tier(Enum):
    """How a function is run."""

    COMPILED = "compiled"
    UNICORN = "unicorn"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a function: compiled, or the reason why not. `inside` is one more entry, at a loop that
    was hot; `seconds` is what it took."""

    entries: tuple[int, ...]
    tier: Tier
    reason: str = ""
    instructions: int = 0
    calls: frozenset[int] = frozenset()
    cached: bool = False
    seconds: float = 0.0
    inside: int | None = None


class _Starts:
    """The addresses that are a function's entry, global or local."""

    def __init__(self, functions: Functions) -> None:
        starts = {function.address for function in functions}
        self._known = starts | {address + LOCAL_ENTRY_BYTES for address in starts}

    def __contains__(self, address: object) -> bool:
        return address in self._known


class Recompiler:
    """Compiles guest functions and puts them in the way of its CPUs. Without a `cache` nothing is kept on
    disk. `counting`, for CPUs with instruments, compiles them into code that counts what it executes."""

    def __init__(self, memory: UnifiedMemory, cache: CodeCache | None = None, counting: bool = False) -> None:
        self.counting = counting
        self.dispatch = Dispatch()
        self.cache = cache
        self.outcomes: dict[tuple[int, ...], Outcome] = {}
        self._memory = memory
        self._cpus: list[RecompilerCpu] = []
        self._executable = bytearray(RAM_BYTES // PAGE_BYTES)
        self._functions = Functions()
        self._starts = _Starts(self._functions)
        self._compiled: dict[tuple[int, ...], tuple[frozenset[int], list[int]]] = {}  # pages, entry points
        self._lock = threading.Lock()
        self.hopeful = True
        """Take FPRs for single where they are used so, and leave an entry to Unicorn where they are not."""
        self.worker: Worker | None = None
        """Compiles in a process of its own; None: in this one."""

    def add(self, cpu: RecompilerCpu) -> None:
        """One more CPU runs this code."""
        self._cpus.append(cpu)

    @property
    def cpus(self) -> tuple[RecompilerCpu, ...]:
        return tuple(self._cpus)

    def know(self, functions: Functions) -> None:
        """Name the program's functions."""
        self._functions = functions
        self._starts = _Starts(functions)

    @property
    def functions(self) -> Functions:
        """The named functions in the order of addresses."""
        return self._functions

    def function_at(self, address: int) -> Function | None:
        """The named function that holds this address."""
        return self._functions.at(address)

    def show(self, address: int, size: int, protection: Protection) -> None:
        """What may be executed has changed; code that was compiled from these pages is void."""
        first, end = address // PAGE_BYTES, (address + size) // PAGE_BYTES
        flag = 1 if protection & Protection.EXECUTE else 0
        if self._executable.count(flag, first, end) != end - first:
            self._executable[first:end] = bytes([flag]) * (end - first)
            self.forget(address, size)

    def forget(self, address: int, size: int) -> None:
        """These bytes have changed: compiled code that came from their pages is used no more."""
        pages = range(address // PAGE_BYTES, (address + size + PAGE_BYTES - 1) // PAGE_BYTES)
        with self._lock:
            for entries, (covered, points) in list(self._compiled.items()):
                if not covered.isdisjoint(pages):
                    for point in points:
                        self.dispatch.remove(point)
                    del self._compiled[entries]
                    self.outcomes.pop(entries, None)

    def fetch(self, address: int) -> int | None:
        """The instruction word at an address, None where nothing may be executed."""
        if address % 4 or not 0 <= address < RAM_BYTES or not self._executable[address // PAGE_BYTES]:
            return None
        return int.from_bytes(self._memory.view[address : address + 4], "big")

    def code(self, function: Function) -> bytes:
        """The words of a function, as they are now."""
        return bytes(self._memory.view[function.address : function.address + function.size])

    def entries_of(self, address: int) -> tuple[int, ...]:
        """Global and local entry of ABI v2 where a function has both, else the address itself."""
        return entries_of(self.fetch, address)

    def loop_start(self, pc: int) -> int | None:
        """Where the innermost loop around an instruction begins, None if it is in none."""
        from xenon.lifter.flow import NotUnderstood, explore

        try:
            flow = explore(self.fetch, (pc,), self._starts)
        except NotUnderstood:
            return None
        starts = [
            successor
            for block in flow.blocks.values()
            if block.last is not None and block.last.address >= pc
            for successor in block.successors
            if successor <= pc
        ]
        return max(starts, default=None)

    def prepare(self, worker: Worker) -> None:
        """Compile in a process of its own from now on. Raises Stopped, also for a broken llvmlite."""
        self.worker = worker
        worker.start()  # while llvmlite is imported here
        try:
            from xenon.recompiler import compile
        except (ImportError, OSError) as error:  # the second where its library is not for this computer
            raise Stopped from error
        compile.bridge(self.cache, worker.compile, self.counting)

    def compile(self, address: int, inside: int | None = None) -> Outcome:
        """Compile the function at an address, and have the CPUs hand over to it from now on; also at the
        instruction `inside` it, if there is one.

        Raises Stopped when the worker was stopped meanwhile.
        """
        from xenon.lifter.flow import NotUnderstood
        from xenon.recompiler import compile  # llvmlite: not before something is compiled

        entries = self.entries_of(address)
        if entries in self.outcomes:
            return self.outcomes[entries]
        start = time.perf_counter()
        try:
            compile_text = self.worker.compile if self.worker else compile.compile_text
            points_in = entries if inside is None or inside in entries else (*entries, inside)
            unit = compile.make_unit(
                self.fetch,
                points_in,
                self._starts,
                self.cache,
                compile_text,
                self.hopeful,
                self.counting,
            )
        except NotUnderstood as reason:
            outcome = Outcome(entries, Tier.UNICORN, str(reason))
            self.outcomes[entries] = outcome
            return outcome
        hook = compile.bridge(self.cache, compile_text, self.counting)
        with self._lock:
            points = [point for point in unit.points if self.dispatch.set(point, unit.function)]
            self._compiled[entries] = unit.pages, points
        for cpu in self._cpus:
            cpu.hook(points, hook)
        seconds = time.perf_counter() - start
        outcome = Outcome(
            entries, Tier.COMPILED, "", unit.instructions, unit.calls, unit.cached, seconds, inside
        )
        self.outcomes[entries] = outcome
        return outcome

    def compile_all(self, addresses: Iterable[int]) -> None:
        """Compile these functions and those that they call."""
        waiting = list(addresses)
        seen: set[int] = set()
        while waiting:
            address = waiting.pop(0)
            if address not in seen:
                seen.add(address)
                waiting += sorted(self.compile(address).calls - seen)

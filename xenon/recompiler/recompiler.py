"""The compiled code of one console, shared by its CPUs: which functions have some, and why others do not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from xenon.hardware.cpu import Protection
from xenon.hardware.memory_map import RAM_BYTES
from xenon.hardware.pages import Pages
from xenon.lifter import layout
from xenon.powerpc.abi import INSTRUCTION_BYTES, LOCAL_ENTRY_BYTES, entries_of
from xenon.powerpc.functions import Function, Functions
from xenon.powerpc.system import VERY_LOW_PRIORITY
from xenon.powerpc.words import words_of
from xenon.recompiler.cache import CodeCache
from xenon.recompiler.kept_image import KeptImage
from xenon.recompiler.left_functions import LeftFunctions
from xenon.recompiler.outcome import Outcome, Tier
from xenon.recompiler.prepared import Prepared, prepared
from xenon.recompiler.published import Published
from xenon.recompiler.rewritten import RewrittenPages
from xenon.recompiler.state import PageTable
from xenon.recompiler.units import CompiledUnit
from xenon.recompiler.worker import Stopped, Worker

if TYPE_CHECKING:
    from xenon.lifter.jump_tables import Surroundings
    from xenon.recompiler.attachment import CompiledCode

Compiler = Callable[[str, bool], bytes]
"""Gives the object code of a module; whether by the full optimiser."""


def _not_cached(_text: str, _optimised: bool) -> bytes:
    raise LookupError


class _Starts:
    """The addresses that are a function's entry, global or local."""

    def __init__(self, functions: Functions) -> None:
        starts = {function.address for function in functions}
        self._known = starts | {address + LOCAL_ENTRY_BYTES for address in starts}

    def __contains__(self, address: object) -> bool:
        return address in self._known


class Recompiler:
    """Compiles guest functions and puts them in the way of the CPUs it is attached to. Without a `cache`
    nothing is kept on disk. `counting`, for CPUs with instruments, compiles functions into code that counts
    what it executes.

    It listens to `pages` before the CPUs do: what it drops is entered no more once they have rested.
    """

    def __init__(self, pages: Pages, cache: CodeCache | None = None, counting: bool = False) -> None:
        self.counting = counting
        self.cache = cache
        self.pages = pages
        self.published = Published()
        self.dispatch = self.published.dispatch
        self.outcomes = self.published.outcomes
        self._memory = pages.memory
        self._page_table = PageTable(pages.memory)
        self.attached: list[CompiledCode] = []
        """Of each CPU that runs this code."""
        self.wanted: set[int] = set()
        """Addresses in functions that were to be compiled; `outcomes` tells of those that have been."""
        self._functions = Functions()
        self._interpreted: frozenset[int] = frozenset()
        self._starts = _Starts(self._functions)
        self._rewritten = RewrittenPages(pages)
        self._left = LeftFunctions()
        self._kept_image = KeptImage(self)
        pages.listen(self)
        self.assume_singles = True
        """Assume that an FPR read only by single-precision instructions holds a single on entry; if it does
        not, Unicorn runs the call."""
        self.shows_status = False
        """The program has code that shows FR, FI or FPRF (see status_readers.py)."""
        self.leave_waits = False
        """Leave functions to Unicorn that hint that they wait, which the CPUs look for there."""
        self.worker: Worker | None = None
        """Compiles in a process of its own; None: in this one."""
        self.optimiser: Worker | None = None
        """The same for the full optimiser."""
        self._hooking = threading.Lock()
        self._preparing = threading.Lock()

    def know(self, functions: Functions, interpreted: Collection[str] = ()) -> None:
        """Name the program's functions, and those that are not to be compiled."""
        self._functions = functions
        self._interpreted = frozenset(functions.addresses_of(interpreted))
        self._starts = _Starts(functions)

    @property
    def functions(self) -> Functions:
        """The named functions in the order of addresses."""
        return self._functions

    def function_at(self, address: int) -> Function | None:
        """The named function that holds this address."""
        return self._functions.at(address)

    def be_pausable(self) -> None:
        """Compiled code is not paused: its CPU is."""

    def map(self, address: int, size: int, shown: Protection) -> None:
        self._page_table.set(address, size, shown)
        self._rewritten.start_anew(address, size)

    def unmap(self, address: int, size: int) -> None:
        self._page_table.set(address, size, Protection.NONE)
        self._rewritten.start_anew(address, size)
        self.forget_code(address, size)

    def protect(self, address: int, size: int, shown: Protection) -> None:
        self._page_table.set(address, size, shown)
        self.forget_code(address, size)

    def forget_code(self, address: int, size: int) -> None:
        """The code of these pages has changed, or may: what was compiled from it is entered no more."""
        self.published.forget(address, size)

    def show_status(self) -> None:
        """Have compiled functions keep FR, FI and FPRF for others from now on."""
        self.shows_status = True
        self.forget_code(0, RAM_BYTES)

    def has_code_around(self, address: int) -> bool:
        """Whether compiled code serves an address, or the function around it."""
        function = self.function_at(address)
        starts = entries_of(self.fetch, function.address) if function else ()
        return any(map(self.dispatch.serves, (address, *starts)))

    def leave(self, address: int, times_before: int = 0) -> None:
        """Let the engine run the function around an address, whatever is compiled of it, for two seconds, and
        for longer each further time; an earlier run has left it so many times."""
        function = self.function_at(address)
        extent = range(function.address, function.end) if function else range(address, address + 1)
        self.published.withdraw_within(extent)
        self._left.leave(extent, times_before)

    def is_left(self, address: int) -> bool:
        """Whether an address is in a function that the engine is to run for now."""
        return address in self._left

    def left(self) -> dict[int, int]:
        """Where the functions start that the engine is to run for now, and how many times each was left."""
        return {extent.start: times for extent, times in self._left.now().items()}

    def fetch(self, address: int) -> int | None:
        """The instruction word at an address, None where nothing may be executed or where the program writes
        again and again."""
        if address % 4 or not 0 <= address < RAM_BYTES:
            return None
        if not self._rewritten.settle(address):
            return None
        return int.from_bytes(self._memory.view[address : address + 4], "big")

    def is_calm(self, address: int) -> bool:
        """Whether an address holds code that may be compiled: the program does not write to it of late."""
        inside = address % INSTRUCTION_BYTES == 0 and 0 <= address < RAM_BYTES
        return inside and self._rewritten.is_calm(address)

    def is_rewritten(self, address: int) -> bool:
        """Whether the program has written again and again to the page of this code."""
        return self._rewritten.is_rewritten(address)

    def code(self, function: Function) -> bytes:
        """The words of a function, as they are now."""
        return self.code_at(function.address, function.size)

    def entries_of(self, address: int) -> tuple[int, ...]:
        """Global and local entry of ABI v2 where a function has both, else the address itself."""
        return entries_of(self.fetch, address)

    def loop_start(self, pc: int) -> int | None:
        """Where the innermost loop around an instruction begins, None if it is in none."""
        from xenon.lifter.flow import NotUnderstood
        from xenon.lifter.jump_tables import explore_function

        try:
            flow = explore_function(self.fetch, (pc,), self._starts, self._around())
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

    def prepare(self, worker: Worker, optimiser: Worker | None = None) -> None:
        """Compile in a process of its own from now on, and optimise in another, which starts when there is
        something to optimise. Raises Stopped, also for a broken llvmlite."""
        with self._preparing:
            if self.worker is worker:
                return
            worker.start()  # while llvmlite is imported here
            try:
                from xenon.recompiler import codegen
            except (ImportError, OSError) as error:  # the second where its library is not for this computer
                raise Stopped(str(error)) from error
            self.worker, self.optimiser = worker, optimiser
            if self._prepared is None:
                codegen.bridge(self.cache, worker.compile, self.counting)

    @property
    def _prepared(self) -> Prepared | None:
        """Code from when the package was built, None where what is asked for is other code."""
        is_usual = self.assume_singles and not self.counting and not self.shows_status
        return prepared() if is_usual else None

    def take_prepared(self, addresses: Iterable[int]) -> list[int]:
        """Have the CPUs hand over to those functions at these addresses that there is prepared code for;
        returns the addresses of the others."""
        if self._prepared is None:
            return list(addresses)
        return [
            address
            for address in addresses
            if self._prepared.unit(self.entries_of(address), self.fetch, self.code_at) is None
            or self.compile(address).tier is Tier.UNICORN
        ]

    def take_image(self, program: str) -> bool:
        """Have the CPUs hand over to those functions of a program's image in the cache whose instructions
        memory holds, before guest code runs; whether there is an image."""
        return self._kept_image.take(program)

    def keep_image(self, program: str) -> None:
        """Put what is compiled into the program's image, if some of that is not in it."""
        self._kept_image.keep(program)

    def code_at(self, address: int, size: int) -> bytes:
        """So many bytes of memory, as they are now."""
        return bytes(self._memory.view[address : address + size])

    def compile(
        self,
        address: int,
        inside: int | None = None,
        tier: Tier = Tier.COMPILED,
        compiler: Compiler | None = None,
    ) -> Outcome:
        """Compile the function at an address to a tier, unless it has reached that, and have the CPUs hand
        over to it from now on; also at the instruction `inside` it, if there is one.
        `compiler` is what compiles, if not the worker of the tier.

        Raises Stopped when the worker was stopped meanwhile.
        """
        entries = self.entries_of(address)
        if (known := self.outcomes.get(entries)) is not None:
            if tier is not Tier.OPTIMISED or known.tier is not Tier.COMPILED:
                return known
            inside = known.inside if inside is None else inside
        with self.published.compiling() as forgotten:
            return self._compile(entries, inside, tier, forgotten, compiler)

    def restore(self, address: int, inside: int | None = None) -> bool:
        """Compile a function to the tier OPTIMISED if the cache has its code; whether it has."""
        try:
            return self.compile(address, inside, Tier.OPTIMISED, _not_cached).tier is Tier.OPTIMISED
        except LookupError:
            return False

    def _compile(
        self,
        entries: tuple[int, ...],
        inside: int | None,
        tier: Tier,
        forgotten: set[int],
        compiler: Compiler | None,
    ) -> Outcome:
        start = time.perf_counter()
        points_in = entries if inside is None or inside in entries else (*entries, inside)
        if self._prepared and (unit := self._prepared.unit(points_in, self.fetch, self.code_at)):
            return self.enter(entries, inside, Tier.OPTIMISED, unit, start, forgotten)
        from xenon.lifter.flow import NotUnderstood
        from xenon.recompiler import codegen  # llvmlite: not before something is compiled

        optimised = tier is Tier.OPTIMISED
        worker = self.optimiser if optimised else self.worker
        compile_text = compiler or (worker.compile if worker else codegen.compile_text)
        if self.shows_status:
            resolver = codegen.resolver(self.cache)
            for code in self.attached:
                code.state.word(layout.RESOLVER).value = resolver

        def fetch(address: int) -> int | None:
            if worker is not None and worker.is_stopped:
                raise Stopped  # the run has ended, and waits for this thread
            return self.fetch(address)

        try:
            if (left := self.reason_to_leave(entries[0])) is not None:
                raise NotUnderstood(left)
            if self.fetch(entries[0]) is None:
                return Outcome(entries, Tier.UNICORN, "nothing may be executed there, or not for long")
            unit = codegen.make_unit(
                fetch,
                points_in,
                self._starts,
                self.cache,
                codegen.console_target(self.assume_singles, self.counting, optimised, self.shows_status),
                compile_text,
                self._around(),
            )
        except NotUnderstood as reason:
            outcome = Outcome(entries, Tier.UNICORN, str(reason))
            self.published.put(outcome, None, forgotten)
            return outcome
        return self.enter(entries, inside, tier, unit, start, forgotten)

    def _around(self) -> Surroundings:
        """What a function has around it, for its jump tables."""
        from xenon.lifter.jump_tables import Surroundings

        def read(start: int, size: int) -> bytes | None:
            return self.code_at(start, size) if self.pages.allows(start, size, Protection.READ) else None

        def extent(start: int) -> tuple[int, int] | None:
            function = self.function_at(start)
            return None if function is None else (function.address, function.end)

        return Surroundings(read, extent, self._functions.toc)

    def reason_to_leave(self, address: int) -> str | None:
        """Why the function around an address is to be left to Unicorn whatever its instructions are; None if
        it is not."""
        function = self.function_at(address)
        if function is None:
            return None
        if function.address in self._interpreted:
            return "it is to be left to Unicorn"
        if self.leave_waits and VERY_LOW_PRIORITY in words_of(self.code(function)):
            return "it waits for other hardware threads"
        return None

    def _hook(self) -> int:
        """The host address of the hook that hands over: the same one for all functions of a CPU."""
        if self._prepared is not None:
            return self._prepared.bridge
        from xenon.recompiler import codegen

        compile_text = self.worker.compile if self.worker else codegen.compile_text
        return codegen.bridge(self.cache, compile_text, self.counting)

    def enter(
        self,
        entries: tuple[int, ...],
        inside: int | None,
        tier: Tier,
        unit: CompiledUnit,
        start: float,
        forgotten: set[int],
    ) -> Outcome:
        """Have the CPUs hand over to a compiled function, unless its code has changed. `start`: when its
        compilation began, in seconds of time.perf_counter()."""
        hook = self._hook()
        seconds = time.perf_counter() - start
        outcome = Outcome(entries, tier, "", unit.instructions, unit.calls, unit.cached, seconds, inside)
        if not self.published.put(outcome, unit, forgotten):
            return Outcome(entries, Tier.UNICORN, "its code has changed while it was compiled")
        with self._hooking:
            for code in self.attached:
                code.hook(hook, unit.inside_blocks)
        return outcome

    def compile_all(self, addresses: Iterable[int], tier: Tier = Tier.COMPILED) -> None:
        """Compile these functions and those that they call."""
        waiting = list(addresses)
        seen: set[int] = set()
        while waiting:
            address = waiting.pop(0)
            if address not in seen:
                seen.add(address)
                waiting += sorted(self.compile(address, tier=tier).calls - seen)

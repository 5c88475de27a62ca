"""The compiled code of one console, shared by its CPUs: which functions have some, and why others do not."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from xenon.hardware.cpu import Protection
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.hardware.pages import Pages
from xenon.lifter import layout
from xenon.powerpc.abi import LOCAL_ENTRY_BYTES, entries_of
from xenon.powerpc.functions import Function, Functions
from xenon.powerpc.system import VERY_LOW_PRIORITY
from xenon.powerpc.words import words_of
from xenon.recompiler.cache import CodeCache
from xenon.recompiler.object_code import FlatCode, flat_code
from xenon.recompiler.prepared import Prepared, digest_of, prepared
from xenon.recompiler.program_image import KeptUnit, ProgramImage, image_key
from xenon.recompiler.state import Dispatch, PageTable
from xenon.recompiler.units import CompiledUnit
from xenon.recompiler.worker import Stopped, Worker

if TYPE_CHECKING:
    from xenon.lifter.jump_tables import Surroundings
    from xenon.recompiler.attachment import CompiledCode

_SETTLED_FREELY = 12  # times that a page is taken from a program that writes to it, without patience
_REWRITTEN = 4  # such times until code counts as what is not compiled for long
_PATIENCE = 0.01  # seconds that the program keeps it after that, twice as long each time


Compiler = Callable[[str, bool], bytes]
"""Gives the object code of a module; whether by the full optimiser."""


def _not_cached(_text: str, _optimised: bool) -> bytes:
    raise LookupError


class Tier(Enum):
    """How a function is run: on Unicorn, by quickly compiled code, or by code of the full optimiser."""

    UNICORN = "unicorn"
    COMPILED = "compiled"
    OPTIMISED = "optimised"


class Outcome(NamedTuple):
    """What became of a function: to which tier it was compiled, or the reason why not. `inside` is one more
    entry, at a loop that was hot; `seconds` is what it took."""

    entries: tuple[int, ...]
    tier: Tier
    reason: str = ""
    instructions: int = 0
    calls: frozenset[int] = frozenset()
    cached: bool = False
    seconds: float = 0.0
    inside: int | None = None


class _Published(NamedTuple):
    """What became of a function, as long as the code of these pages stays; the addresses that it serves, and
    its code, if it has some."""

    pages: frozenset[int]
    points: tuple[int, ...]
    unit: CompiledUnit | None = None


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
        self.dispatch = Dispatch()
        self.cache = cache
        self.outcomes: dict[tuple[int, ...], Outcome] = {}
        self.pages = pages
        self._memory = pages.memory
        self._page_table = PageTable(pages.memory)
        self.attached: list[CompiledCode] = []
        """Of each CPU that runs this code."""
        self.wanted: set[int] = set()
        """Addresses in functions that were to be compiled; `outcomes` tells of those that have been."""
        self._functions = Functions()
        self._interpreted: frozenset[int] = frozenset()
        self._starts = _Starts(self._functions)
        self._compiled: dict[tuple[int, ...], _Published] = {}  # by entries
        self._published: dict[int, set[tuple[int, ...]]] = {}  # page: entries of what came from it
        self._serving: dict[int, tuple[int, ...]] = {}  # entry point: entries of what serves it
        self._under_way: list[set[int]] = []  # of each compilation: the pages that were forgotten meanwhile
        self._settled: Counter[int] = Counter()  # page: how often it was taken from a program that writes it
        self._settled_at: dict[int, float] = {}  # page: when it was last, in seconds of time.monotonic()
        self._times_left: Counter[range] = Counter()  # function's addresses: how often it was left
        self._left_until: dict[range, float] = {}  # by the same, in seconds of time.monotonic()
        self._lock = threading.Lock()
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
        self._image: ProgramImage | None = None

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
        self._start_anew(address, size)

    def unmap(self, address: int, size: int) -> None:
        self._page_table.set(address, size, Protection.NONE)
        self._start_anew(address, size)
        self.forget_code(address, size)

    def protect(self, address: int, size: int, shown: Protection) -> None:
        self._page_table.set(address, size, shown)
        self.forget_code(address, size)

    def _start_anew(self, address: int, size: int) -> None:
        for page in list(self._settled):
            if address <= page * PAGE_BYTES < address + size:
                del self._settled[page]
                self._settled_at.pop(page, None)

    def forget_code(self, address: int, size: int) -> None:
        """The code of these pages has changed, or may: what was compiled from it is entered no more."""
        pages = range(address // PAGE_BYTES, (address + size + PAGE_BYTES - 1) // PAGE_BYTES)
        with self._lock:
            for forgotten in self._under_way:
                forgotten.update(pages)
            if len(pages) < len(self._published):
                touched = [page for page in pages if page in self._published]
            else:
                touched = [page for page in self._published if page in pages]
            for entries in {entries for page in touched for entries in self._published[page]}:
                self._withdraw(entries)

    def _withdraw(self, entries: tuple[int, ...]) -> None:
        """Forget what became of a function, with the lock held."""
        published = self._compiled.pop(entries)
        self.outcomes.pop(entries, None)
        for page in published.pages:
            self._published[page].discard(entries)
        for point in published.points:
            if self._serving.get(point) == entries:
                self.dispatch.remove(point)
                del self._serving[point]

    def show_status(self) -> None:
        """Have compiled functions keep FR, FI and FPRF for others from now on."""
        self.shows_status = True
        self.forget_code(0, RAM_BYTES)

    def leave(self, address: int) -> None:
        """Let the engine run the function around an address, whatever is compiled of it, for two seconds, and
        for longer each further time."""
        function = self.function_at(address)
        extent = range(function.address, function.end) if function else range(address, address + 1)
        with self._lock:
            for entries in [entries for entries in self._compiled if any(map(extent.__contains__, entries))]:
                self._withdraw(entries)
            self._times_left[extent] += 1
            self._left_until[extent] = time.monotonic() + 2.0 ** self._times_left[extent]

    def is_left(self, address: int) -> bool:
        """Whether an address is in a function that the engine is to run for now."""
        if not self._left_until:
            return False
        now = time.monotonic()
        return any(address in extent and now < until for extent, until in list(self._left_until.items()))

    def fetch(self, address: int) -> int | None:
        """The instruction word at an address, None where nothing may be executed or where the program writes
        again and again."""
        if address % 4 or not 0 <= address < RAM_BYTES:
            return None
        if not self.pages.holds_code(address) and not self._settle(address):
            return None
        return int.from_bytes(self._memory.view[address : address + 4], "big")

    def _settle(self, address: int) -> bool:
        page = address // PAGE_BYTES
        times, now = self._settled[page], time.monotonic()
        patience = 0.0 if times < _SETTLED_FREELY else _PATIENCE * 2 ** (times - _SETTLED_FREELY)
        if now < self._settled_at.get(page, now) + patience:
            return False
        if not self.pages.allows(address, 4, Protection.EXECUTE):
            return False
        self._settled[page] += 1
        self._settled_at[page] = now
        return self.pages.settle(address)

    def is_rewritten(self, address: int) -> bool:
        """Whether the program has written again and again to the page of this code."""
        return self._settled[address // PAGE_BYTES] >= _REWRITTEN

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

    @property
    def _may_have_image(self) -> bool:
        """Whether an image has the code that is asked for: that which shows its status needs a resolver."""
        return not self.counting and not self.shows_status

    def take_image(self, program: str) -> bool:
        """Have the CPUs hand over to those functions of a program's image in the cache whose instructions
        memory holds, before guest code runs; whether there is an image."""
        data = self.cache.get(self._image_key(program)) if self.cache and self._may_have_image else None
        image = ProgramImage.read(data) if data else None
        base = image.base() if image else None
        if image is None or base is None:
            return False
        self._image = image
        for kept in image.units:
            function, inside = self.function_at(kept.entries[0]), kept.inside
            if function is not None and self._left_reason(function) is not None:
                continue
            if any(self.fetch(page * PAGE_BYTES) is None for page in kept.pages):
                continue
            if digest_of(self.code_at, kept.runs) == kept.digest:
                tier = Tier.OPTIMISED if kept.optimised else Tier.COMPILED
                self._entered(kept.entries, inside, tier, kept.unit(base), time.perf_counter(), set())
        return True

    def keep_image(self, program: str) -> None:
        """Put what is compiled into the program's image, if some of that is not in it."""
        if self.cache is None or not self._may_have_image:
            return
        image = self._image
        before = {(kept.entries, kept.inside, kept.optimised): kept for kept in image.units} if image else {}
        rows: list[tuple[KeptUnit, FlatCode]] = []
        is_new = False
        with self._lock:
            published = [(self.outcomes[entries], row.unit) for entries, row in self._compiled.items()]
        for outcome, unit in published:
            optimised = outcome.tier is Tier.OPTIMISED
            key = outcome.entries, outcome.inside, optimised
            if image and unit and (kept := before.get(key)) and kept.digest == unit.digest:
                rows.append((kept, image.code_of(kept)))
            elif unit and unit.symbol and (code := self.cache.get(unit.symbol)):
                flat = flat_code(code, unit.symbol)
                rows += [] if flat is None else [(KeptUnit.make(*key, unit), flat)]
                is_new |= flat is not None
        if is_new:
            self.cache.put(self._image_key(program), ProgramImage.of(rows).data)

    def _image_key(self, program: str) -> str:
        return image_key(program, repr((self.assume_singles, RAM_BYTES, PAGE_BYTES)))

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
        forgotten: set[int] = set()
        with self._lock:
            self._under_way.append(forgotten)
        try:
            return self._compile(entries, inside, tier, forgotten, compiler)
        finally:
            with self._lock:
                self._under_way = [pages for pages in self._under_way if pages is not forgotten]

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
            return self._entered(entries, inside, Tier.OPTIMISED, unit, start, forgotten)
        from xenon.lifter.flow import NotUnderstood
        from xenon.recompiler import codegen  # llvmlite: not before something is compiled

        optimised = tier is Tier.OPTIMISED
        worker = self.optimiser if optimised else self.worker
        compile_text = compiler or (worker.compile if worker else codegen.compile_text)
        own_pages = frozenset(entry // PAGE_BYTES for entry in entries)
        if self.shows_status:
            resolver = codegen.resolver(self.cache)
            for code in self.attached:
                code.state.word(layout.RESOLVER).value = resolver

        def fetch(address: int) -> int | None:
            if worker is not None and worker.is_stopped:
                raise Stopped  # the run has ended, and waits for this thread
            return self.fetch(address)

        try:
            function = self.function_at(entries[0])
            if function is not None and (left := self._left_reason(function)) is not None:
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
            self._publish(outcome, _Published(own_pages, ()), 0, forgotten)
            return outcome
        return self._entered(entries, inside, tier, unit, start, forgotten)

    def _around(self) -> Surroundings:
        """What a function has around it, for its jump tables."""
        from xenon.lifter.jump_tables import Surroundings

        def read(start: int, size: int) -> bytes | None:
            return self.code_at(start, size) if self.pages.allows(start, size, Protection.READ) else None

        def extent(start: int) -> tuple[int, int] | None:
            function = self.function_at(start)
            return None if function is None else (function.address, function.end)

        return Surroundings(read, extent, self._functions.toc)

    def _left_reason(self, function: Function) -> str | None:
        """Why a function is to be left to Unicorn whatever its instructions are, None where it is not."""
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

    def _entered(
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
        own_pages = frozenset(entry // PAGE_BYTES for entry in entries)
        hook = self._hook()
        seconds = time.perf_counter() - start
        outcome = Outcome(entries, tier, "", unit.instructions, unit.calls, unit.cached, seconds, inside)
        published = _Published(own_pages | unit.pages, unit.points, unit)
        if not self._publish(outcome, published, unit.function, forgotten):
            return Outcome(entries, Tier.UNICORN, "its code has changed while it was compiled")
        with self._hooking:
            for code in self.attached:
                code.hook(hook, unit.inside_blocks)
        return outcome

    def _publish(self, outcome: Outcome, published: _Published, function: int, forgotten: set[int]) -> bool:
        """Serve the points, and keep the outcome, unless a page was forgotten since the compilation began."""
        entries = outcome.entries
        with self._lock:
            if not published.pages.isdisjoint(forgotten):
                return False
            before = self._compiled.get(entries)
            for point in before.points if before else ():
                if point not in published.points and self._serving.get(point) == entries:
                    self.dispatch.remove(point)
                    del self._serving[point]
            for point in published.points:
                self.dispatch.set(point, function)
                self._serving[point] = entries
            self._compiled[entries] = published
            for page in published.pages:
                self._published.setdefault(page, set()).add(entries)
            self.outcomes[entries] = outcome
            return True

    def compile_all(self, addresses: Iterable[int], tier: Tier = Tier.COMPILED) -> None:
        """Compile these functions and those that they call."""
        waiting = list(addresses)
        seen: set[int] = set()
        while waiting:
            address = waiting.pop(0)
            if address not in seen:
                seen.add(address)
                waiting += sorted(self.compile(address, tier=tier).calls - seen)

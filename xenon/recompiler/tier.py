"""When a function is compiled, and to which tier: a run starts on Unicorn, and a background thread moves up
what is hot.

It samples where guest code is. A function that turns up again is compiled, and can be entered at the loop it
was seen in as well; then, while nothing else is hot, short ones that it calls. A place that goes on turning
up in compiled functions becomes an entry of its own. A thread of its own compiles, so that samples go on, and
takes first what promises most for its length. A function whose compiled code turns up often goes to the full
optimiser, in another thread and process. What was hot in a program is remembered on disk, and compiled, or
rather read back, first in its next run.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING

from xenon.hardware.cpu import Protection
from xenon.notes import note
from xenon.powerpc.abi import INSTRUCTION_BYTES
from xenon.recompiler.idle_hooks import IdleHook
from xenon.recompiler.outcome import Tier
from xenon.recompiler.recompiler import Recompiler
from xenon.recompiler.restless import Restless
from xenon.recompiler.worker import Worker

if TYPE_CHECKING:
    from xenon.recompiler.attachment import CompiledCode

_PATIENCE = 0.05  # seconds of a run before the compiler is loaded: a short program ends without it
_SHORT_PATIENCE = 0.03  # where it is known what will be hot
_PERIOD = 0.01  # seconds between two samples
_HOT = 2  # samples in a function until it is compiled; one will do for those in TierUp._known
_STUCK = 3  # samples on Unicorn in a compiled function until the place itself becomes an entry
_HOT_COMPILED = 4  # samples in a function's compiled code until it is optimised
_OUTDATED = 5  # further samples in code that was replaced until it is made to leave, out of a loop
_LONG = 4000  # bytes of a hot function that takes so long that others are compiled before it
_SHORT = 1200  # bytes of a function that is compiled because a compiled one calls it
_ALL_BUT_LENGTH = 200  # bytes that take as long to compile as what does not depend on a function's length
_GRACE = 1.0  # seconds at most at the end of a run for what is being compiled
_SHORT_TEXT = 500_000  # bytes of a module that is compiled within a fraction of a second
_NOWHERE = 0  # where compiled code went that never ran
_MOST_REMEMBERED = 256  # functions of one program

_Wanted = tuple[int, int | None]  # a function, and a place in it to enter it at, too
_Remembered = tuple[int, int | None, bool]  # the same, and whether it was optimised
_Left = tuple[int, int]  # a function that the engine had at the end, and how many times it was left


def _note_end(reason: object) -> None:
    note(f"the compiler has stopped ({reason}); Unicorn runs what is not compiled yet")


class TierUp:
    """The background thread of one console. `hot` names the functions to begin with, the hottest first."""

    def __init__(self, recompiler: Recompiler, hot: Sequence[str] = (), patience: float = _PATIENCE) -> None:
        self._recompiler = recompiler
        self._hot = hot
        self._patience = patience
        self._is_compiling = False
        self._is_optimising = False
        self._closing = threading.Event()
        self._samples: Counter[tuple[int, ...]] = Counter()
        self._key = ""  # of the program
        self._remembered_before: list[_Remembered] | None = None  # None until the run is a long one
        self._started = 0.0  # in seconds of time.monotonic()
        self._has_image = False  # of the program's code, from an earlier run
        self._first: list[int] = []  # hot functions that are to be compiled
        self._known: set[int] = set()  # functions that were hot in an earlier run, and wait to be seen
        self._compiled: set[_Wanted] = set()
        self._wanted: list[_Wanted] = []  # those that were hot, to be remembered
        self._calls: list[int] = []  # functions that compiled ones call
        self._waiting: dict[int, tuple[int | None, int]] = {}  # hot ones: where else to enter, samples
        self._has_work = threading.Event()
        self._compiled_samples: Counter[int] = Counter()
        self._left_for: Counter[int] = Counter()  # samples
        self._optimised: set[int] = set()  # functions that were, in this run or an earlier one
        self._to_optimise: SimpleQueue[int | None] = SimpleQueue()
        self._optimiser = Worker()
        self._optimising = threading.Thread(target=self._work, args=(self._optimise,), daemon=True)
        self._restless: dict[CompiledCode, Restless] = {}
        self._idle_hooks: dict[CompiledCode, IdleHook] = {}
        self._worker = Worker()
        self._thread = threading.Thread(
            target=self._work, args=(self._tier_up,), name="recompiler", daemon=True
        )
        self._sampling = threading.Thread(target=self._work, args=(self._sample,), daemon=True)

    @property
    def is_busy(self) -> bool:
        """Whether the compiler takes a processor of this computer."""
        return self._is_compiling or self._is_optimising

    def start(self) -> None:
        """Guest code begins to run; what is hot and prepared is compiled code from the first instruction."""
        named = {function.name: function.address for function in self._recompiler.functions}
        self._first = self._recompiler.take_prepared(named[name] for name in self._hot if name in named)
        self._recompiler.wanted.update(self._first)
        self._started = time.monotonic()
        self._key = self._program_key()
        for address, times in self._left_before(self._key):
            self._recompiler.leave(address, times)
        self._has_image = not self._hot and self._recompiler.take_image(self._key)
        self._is_compiling = bool(self._first) or not (self._hot or self._has_image)
        try:
            self._thread.start()
        except RuntimeError as error:  # the host gives no thread for it
            self._is_compiling = False
            _note_end(error)

    def close(self) -> None:
        """End the threads. What they were compiling is given up, unless it is soon done: else it would be
        begun anew in each short run of the program."""
        self._closing.set()
        self._let_finish()
        self._worker.stop()
        self._optimiser.stop()
        self._has_work.set()
        self._to_optimise.put(None)
        for thread in (self._sampling, self._thread, self._optimising):
            if thread.is_alive():
                thread.join()
        self._worker.close()
        self._optimiser.close()
        before, self._remembered_before = self._remembered_before, None  # a second call keeps nothing more
        if before is not None:
            self._remember(self._key, before)
            if not self._hot and self._recompiler.functions:
                self._recompiler.keep_image(self._key)

    def _let_finish(self) -> None:
        """Wait for short modules that are being compiled, not for much longer than the program has run."""
        if self._hot:
            return
        now = time.monotonic()
        end = now + min(_GRACE, 3 * (now - self._started))
        workers = (self._worker, self._optimiser)
        while any(0 < worker.busy_with <= _SHORT_TEXT for worker in workers) and time.monotonic() < end:
            time.sleep(_GRACE / 100)

    def _work(self, work: Callable[[], None]) -> None:
        """What goes wrong ends this thread, never the run."""
        try:
            work()
        except Exception as error:
            if not self._closing.is_set():
                _note_end(error)
        finally:
            self._is_compiling = self._is_optimising = False

    def _tier_up(self) -> None:
        remembered = self._remembered(self._key)
        known = self._hot or remembered
        if self._closing.wait(min(self._patience, _SHORT_PATIENCE) if known else self._patience):
            return
        self._optimised = {address for address, _, optimised in remembered if optimised}
        named = {function.address: function.size for function in self._recompiler.functions}
        self._remembered_before = remembered
        if self._first or not (self._hot or self._has_image):  # while the program shows what is hot
            self._recompiler.prepare(self._worker, self._optimiser)
        self._sampling.start()
        for address in sorted(self._first, key=lambda address: named[address] > _LONG):
            self._compile(address)
        if self._hot and not self._first:  # all is prepared that is hot with any input
            self._known = {address for address, _, _ in remembered}
        else:
            for address, inside, _ in remembered:
                self._compile(address, inside)
        self._is_compiling = False
        while not self._closing.is_set():
            self._compile_next()

    def _compile_next(self) -> None:
        """Compile what has waited for it, the most promising first; else what compiled code calls, unless it
        is long; else wait."""
        if self._waiting:
            address = max(list(self._waiting), key=self._promise)
            inside, _ = self._waiting.pop(address)
            serves = self._recompiler.dispatch.serves
            if not serves(address) or not (inside is None or serves(inside)):
                self._is_compiling = True
                self._compile(address, inside)
        elif self._calls:
            address = self._calls.pop(0)
            if not self._recompiler.dispatch.serves(address) and self._length(address) <= _SHORT:
                self._compile(address, was_hot=False)
        else:
            self._is_compiling = False
            self._has_work.clear()
            if not self._waiting and not self._closing.is_set():
                self._has_work.wait()

    def _promise(self, address: int) -> float:
        """Samples of a function that waits, for its length."""
        return self._waiting[address][1] / (_ALL_BUT_LENGTH + self._length(address))

    def _length(self, address: int) -> int:
        """Bytes of the named function around an address."""
        function = self._recompiler.function_at(address)
        return function.size if function else 0

    def _want(self, address: int, inside: int | None = None) -> None:
        """Have a function compiled that has turned up again."""
        self._recompiler.wanted.add(address)
        before, samples = self._waiting.get(address, (None, 0))
        self._waiting[address] = (before if inside is None else inside, samples + 1)
        self._has_work.set()

    def _sample(self) -> None:
        """The work of the thread that samples."""
        while not self._closing.wait(_PERIOD):
            self._look()

    def _compile(self, address: int, inside: int | None = None, was_hot: bool = True) -> None:
        """Compile a function, unless it is time to close; those that it calls are next. What was hot is
        remembered."""
        if self._closing.is_set() or self._recompiler.is_left(address):
            return
        if was_hot and self._is_in_image(address, inside):
            self._compiled.add((address, inside))
            self._wanted.append((address, inside))
            return
        if inside is not None or self._recompiler.take_prepared([address]):
            self._is_compiling = True
            self._recompiler.prepare(self._worker, self._optimiser)
            if address in self._optimised:
                self._recompiler.restore(address, inside)
        outcome = self._recompiler.compile(address, inside)
        if outcome.tier is not Tier.UNICORN and (address, inside) not in self._compiled:
            self._compiled.add((address, inside))
            if was_hot:
                self._calls += sorted(outcome.calls)
                self._wanted.append((address, inside))

    def _is_in_image(self, address: int, inside: int | None) -> bool:
        """Whether a function was compiled, with this entry, before the run began."""
        serves = self._recompiler.dispatch.serves
        if not self._has_image or (address, inside) in self._compiled or not serves(address):
            return False
        return inside is None or serves(inside)

    def _look(self) -> None:
        """Take a sample of each CPU; what has become hot is wanted."""
        for code in self._recompiler.attached:
            restless = self._restless.setdefault(code, Restless(code))
            if code.is_running:
                restless.compiled()
                self._look_at_compiled(code)
                continue
            place = code.left_for
            self._follow(place)
            pc = code.cpu.position.sample()
            if pc is None:
                continue
            if (left := restless.interpreted(self._stays_on_engine(place))) is not None:
                self._recompiler.leave(left)
            self._idle_hooks.setdefault(code, IdleHook(code)).look(self._recompiler.has_code_around(pc))
            if not self._recompiler.is_calm(pc):
                continue
            self._look_at_interpreted(pc)

    def _look_at_interpreted(self, pc: int) -> None:
        """Count a sample of code that the engine runs."""
        function = self._recompiler.function_at(pc)
        start = function.address if function else pc & -256
        entries = self._recompiler.entries_of(start) if function else (start,)
        self._samples[entries] += 1
        outcome = self._recompiler.outcomes.get(entries)
        if outcome is None and function is not None:
            if self._samples[entries] >= _HOT or function.address in self._known:
                self._want(function.address, self._recompiler.loop_start(pc))
        elif self._samples[entries] >= _STUCK and (outcome is None or outcome.tier is not Tier.UNICORN):
            self._samples[entries] = 0
            self._want(self._recompiler.loop_start(pc) or pc)

    def _follow(self, place: int | None) -> None:
        """Want what compiled code went to last, if that was so at several samples and has not been tried."""
        recompiler = self._recompiler
        if not place or recompiler.dispatch.serves(place) or not recompiler.is_calm(place):
            return
        if recompiler.outcomes.get(recompiler.entries_of(place)) is not None:
            return
        self._left_for[place] += 1
        if self._left_for[place] >= _HOT:
            self._want(place)

    def _stays_on_engine(self, place: int | None) -> bool:
        """Whether compiled code cannot go on where it went last: it left an instruction to the engine, or
        went to code that is not to be compiled or not for long."""
        recompiler = self._recompiler
        if place is None:
            return True
        if place == _NOWHERE:
            return False
        if recompiler.is_rewritten(place):
            return True
        if recompiler.dispatch.serves(place):
            return False
        if not recompiler.pages.allows(place, INSTRUCTION_BYTES, Protection.EXECUTE):
            return True
        function = recompiler.function_at(place)
        outcome = recompiler.outcomes.get(recompiler.entries_of(function.address if function else place))
        return outcome is not None and outcome.tier is Tier.UNICORN

    def _look_at_compiled(self, code: CompiledCode) -> None:
        """Take a sample of compiled code."""
        address, optimised = code.under_way
        if optimised or not address:
            return
        self._compiled_samples[address] += 1
        outcome = self._recompiler.outcomes.get(self._recompiler.entries_of(address))
        if outcome is None or outcome.tier is Tier.COMPILED:
            if self._compiled_samples[address] == _HOT_COMPILED:
                if self._optimising.ident is None:
                    self._optimising.start()
                self._to_optimise.put(address)
        elif self._compiled_samples[address] >= _HOT_COMPILED + _OUTDATED:
            self._compiled_samples[address] = _HOT_COMPILED
            code.cpu.position.sample()  # comes to rest at the start of a loop

    def _optimise(self) -> None:
        """The work of the second thread."""
        while (address := self._to_optimise.get()) is not None and not self._closing.is_set():
            if self._recompiler.is_left(address):
                self._compiled_samples[address] = 0
                continue
            self._is_optimising = True
            self._recompiler.prepare(self._worker, self._optimiser)
            if self._recompiler.compile(address, tier=Tier.OPTIMISED).tier is Tier.OPTIMISED:
                self._compiled_samples[address] = _HOT_COMPILED
                self._optimised.add(address)
                if not any(address == wanted for wanted, _ in self._wanted):
                    self._wanted.append((address, None))
            self._is_optimising = not self._to_optimise.empty()

    def _program_key(self) -> str:
        """A name for what is remembered of this program: a hash of the code that its functions have."""
        digest = hashlib.sha256()
        for function in self._recompiler.functions:
            digest.update(repr(function).encode() + self._recompiler.code(function))
        return f"program_{digest.hexdigest()[:40]}"

    def _rows(self, key: str) -> list[tuple[object, ...]]:
        cache = self._recompiler.cache
        data = cache.get(key) if cache else None
        try:
            return [tuple(row) for row in json.loads(data)][:_MOST_REMEMBERED] if data else []
        except (ValueError, TypeError, RecursionError):
            return []

    def _remembered(self, key: str) -> list[_Remembered]:
        return [
            (row[0], row[1], bool(row[2]))
            for row in self._rows(key)
            if len(row) == 3 and isinstance(row[0], int) and isinstance(row[1], int | None)
        ]

    def _left_before(self, key: str) -> list[_Left]:
        """The functions that the engine had at the end of an earlier run."""
        return [
            (row[0], row[1])
            for row in self._rows(key)
            if len(row) == 2 and isinstance(row[0], int) and isinstance(row[1], int)
        ]

    def _remember(self, key: str, before: list[_Remembered]) -> None:
        recompiler = self._recompiler
        hot = [pair for pair in self._wanted if not recompiler.is_left(pair[0])]
        wanted = [(*pair, pair[0] in self._optimised) for pair in hot[:_MOST_REMEMBERED]]
        seen = {address for address, _ in hot}
        others = [row for row in before if row[0] in self._known - seen and not recompiler.is_left(row[0])]
        left: list[_Left] = sorted(recompiler.left().items())
        is_new = set(wanted) - set(before) or self._left_before(key) != left
        if recompiler.cache and recompiler.functions and is_new:
            rows = [*left, *wanted, *others]
            recompiler.cache.put(key, json.dumps(rows[:_MOST_REMEMBERED]).encode())

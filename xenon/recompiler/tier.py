"""When a function is compiled: a run starts on Unicorn, and a background thread moves up what is hot.

It samples where guest code is. A function that turns up again is compiled, and can be entered at the loop it
was seen in as well; then, while nothing else is hot, those that it calls. A place that goes on turning up in
compiled functions becomes an entry of its own. What a program came to need is remembered on disk, and
compiled, or rather read back, first in its next run.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Sequence

from xenon.notes import note
from xenon.recompiler.recompiler import Recompiler, Tier
from xenon.recompiler.worker import Worker

_PATIENCE = 0.05  # seconds of a run before the compiler is loaded: a short program ends without it
_SHORT_PATIENCE = 0.03  # where it is known what will be hot
_PERIOD = 0.01  # seconds between two samples
_HOT = 2  # samples in a function until it is compiled
_STUCK = 3  # samples on Unicorn in a compiled function until the place itself becomes an entry
_MOST_REMEMBERED = 256  # functions of one program

_Wanted = tuple[int, int | None]  # a function, and a place in it to enter it at, too


def _note_end(reason: object) -> None:
    note(f"the compiler has stopped ({reason}); Unicorn runs what is not compiled yet")


class TierUp:
    """The background thread of one console. `hot` names the functions to begin with, the hottest first."""

    def __init__(self, recompiler: Recompiler, hot: Sequence[str] = (), patience: float = _PATIENCE) -> None:
        self._recompiler = recompiler
        self._hot = hot
        self._patience = patience
        self.is_busy = False
        """Whether the compiler takes a processor of this computer."""
        self._closing = threading.Event()
        self._samples: Counter[tuple[int, ...]] = Counter()
        self._first: list[int] = []  # hot functions that are to be compiled
        self._wanted: list[_Wanted] = []  # what was compiled, to be remembered
        self._calls: list[int] = []  # functions that compiled ones call
        self._worker = Worker()
        self._thread = threading.Thread(target=self._work, name="recompiler", daemon=True)

    def start(self) -> None:
        """Guest code begins to run; what is hot and prepared is compiled code from the first instruction."""
        named = {function.name: function.address for function in self._recompiler.functions}
        self._first = self._recompiler.take_prepared(named[name] for name in self._hot if name in named)
        self.is_busy = bool(self._first) or not self._hot
        try:
            self._thread.start()
        except RuntimeError as error:  # the host gives no thread for it
            self.is_busy = False
            _note_end(error)

    def close(self) -> None:
        """End the thread; what it was compiling is given up."""
        self._closing.set()
        self._worker.stop()
        if self._thread.is_alive():
            self._thread.join()
        self._worker.close()

    def _work(self) -> None:
        """What goes wrong ends this thread, never the run."""
        try:
            self._tier_up()
        except Exception as error:
            if not self._closing.is_set():
                _note_end(error)
        finally:
            self.is_busy = False

    def _tier_up(self) -> None:
        key = self._program_key()
        remembered = self._remembered(key)
        known = self._hot or remembered
        if self._closing.wait(min(self._patience, _SHORT_PATIENCE) if known else self._patience):
            return
        try:
            if self._first or not self._hot:  # while the program goes on to show what is hot
                self._recompiler.prepare(self._worker)
            for address in self._first:
                self._compile(address)
            for address, inside in remembered:
                self._compile(address, inside)
            while not self._closing.wait(_PERIOD):
                was_hot = self._look()
                self.is_busy = was_hot
                if not was_hot and self._calls:
                    self._compile(self._calls.pop(0))
        finally:
            self._remember(key, remembered)

    def _compile(self, address: int, inside: int | None = None) -> None:
        """Compile a function, unless it is time to close; those that it calls are next."""
        if self._closing.is_set():
            return
        self._recompiler.prepare(self._worker)
        outcome = self._recompiler.compile(address, inside)
        if outcome.tier is Tier.COMPILED and (address, inside) not in self._wanted:
            self._wanted.append((address, inside))
            self._calls += sorted(outcome.calls)

    def _look(self) -> bool:
        """Take a sample of each CPU, and compile what has become hot. Whether anything had."""
        was_hot = False
        for code in self._recompiler.attached:
            pc = None if code.is_running else code.cpu.position.sample()
            if pc is None or self._recompiler.fetch(pc) is None:
                continue
            function = self._recompiler.function_at(pc)
            start = function.address if function else pc & -256
            entries = self._recompiler.entries_of(start) if function else (start,)
            self._samples[entries] += 1
            outcome = self._recompiler.outcomes.get(entries)
            if outcome is None and function is not None:
                if self._samples[entries] >= _HOT:
                    self._samples[entries] = 0
                    self._compile(function.address, self._recompiler.loop_start(pc))
                    was_hot = True
            elif self._samples[entries] >= _STUCK and (outcome is None or outcome.tier is Tier.COMPILED):
                self._samples[entries] = 0
                self._compile(self._recompiler.loop_start(pc) or pc)
                was_hot = True
        return was_hot

    def _program_key(self) -> str:
        """A name for what is remembered of this program: a hash of the code that its functions have."""
        digest = hashlib.sha256()
        for function in self._recompiler.functions:
            digest.update(repr(function).encode() + self._recompiler.code(function))
        return f"program_{digest.hexdigest()[:40]}"

    def _remembered(self, key: str) -> list[_Wanted]:
        cache = self._recompiler.cache
        data = cache.get(key) if cache else None
        try:
            pairs = [tuple(pair) for pair in json.loads(data)] if data else []
        except (ValueError, TypeError, RecursionError):
            return []
        return [
            (pair[0], pair[1])
            for pair in pairs[:_MOST_REMEMBERED]
            if len(pair) == 2 and isinstance(pair[0], int) and isinstance(pair[1], int | None)
        ]

    def _remember(self, key: str, before: list[_Wanted]) -> None:
        cache = self._recompiler.cache
        wanted = self._wanted[:_MOST_REMEMBERED]
        if cache and self._recompiler.functions and set(wanted) - set(before):
            cache.put(key, json.dumps(wanted).encode())

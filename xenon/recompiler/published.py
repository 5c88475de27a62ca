"""What became of each function of a console, and which compiled code serves which address. Both are
withdrawn when code changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from xenon.hardware.memory_map import PAGE_BYTES
from xenon.recompiler.outcome import Outcome
from xenon.recompiler.state import Dispatch
from xenon.recompiler.units import CompiledUnit


class _Row(NamedTuple):
    """What became of a function, as long as the code of these pages stays; its code, if it has some."""

    outcome: Outcome
    pages: frozenset[int]
    unit: CompiledUnit | None

    @property
    def points(self) -> tuple[int, ...]:
        """The addresses that the code serves."""
        return self.unit.points if self.unit else ()


class Published:
    """The outcomes of one console's functions, by their entries, and its dispatch table."""

    def __init__(self) -> None:
        self.dispatch = Dispatch()
        self._outcomes: dict[tuple[int, ...], Outcome] = {}
        self._rows: dict[tuple[int, ...], _Row] = {}
        self._of_page: dict[int, set[tuple[int, ...]]] = {}  # page: entries of what came from it
        self._serving: dict[int, tuple[int, ...]] = {}  # entry point: entries of what serves it
        self._under_way: list[set[int]] = []  # of each compilation: the pages that were forgotten meanwhile
        self._lock = threading.Lock()

    @property
    def outcomes(self) -> Mapping[tuple[int, ...], Outcome]:
        """What became of each function, by its entries."""
        return self._outcomes

    @contextmanager
    def compiling(self) -> Iterator[set[int]]:
        """Collect the pages that are forgotten while a function is compiled."""
        forgotten: set[int] = set()
        with self._lock:
            self._under_way.append(forgotten)
        try:
            yield forgotten
        finally:
            with self._lock:
                self._under_way = [pages for pages in self._under_way if pages is not forgotten]

    def put(self, outcome: Outcome, unit: CompiledUnit | None, forgotten: set[int]) -> bool:
        """Keep an outcome and serve the entry points of its code, unless a page of it was forgotten since the
        compilation began; whether it is kept."""
        entries = outcome.entries
        pages = frozenset(entry // PAGE_BYTES for entry in entries) | (unit.pages if unit else frozenset())
        row = _Row(outcome, pages, unit)
        with self._lock:
            if not pages.isdisjoint(forgotten):
                return False
            before = self._rows.get(entries)
            for point in before.points if before else ():
                if point not in row.points:
                    self._stop_serving(point, entries)
            for point in row.points:
                self.dispatch.set(point, unit.function if unit else 0)
                self._serving[point] = entries
            self._rows[entries] = row
            for page in pages:
                self._of_page.setdefault(page, set()).add(entries)
            self._outcomes[entries] = outcome
            return True

    def forget(self, address: int, size: int) -> None:
        """Withdraw what came from these pages."""
        pages = range(address // PAGE_BYTES, (address + size + PAGE_BYTES - 1) // PAGE_BYTES)
        with self._lock:
            for forgotten in self._under_way:
                forgotten.update(pages)
            if len(pages) < len(self._of_page):
                touched = [page for page in pages if page in self._of_page]
            else:
                touched = [page for page in self._of_page if page in pages]
            for entries in {entries for page in touched for entries in self._of_page[page]}:
                self._withdraw(entries)

    def withdraw_within(self, extent: range) -> None:
        """Withdraw the functions that have an entry among these addresses."""
        with self._lock:
            for entries in [entries for entries in self._rows if any(map(extent.__contains__, entries))]:
                self._withdraw(entries)

    def compiled(self) -> list[tuple[Outcome, CompiledUnit]]:
        """The functions that have code, and their code."""
        with self._lock:
            return [(row.outcome, row.unit) for row in self._rows.values() if row.unit is not None]

    def _withdraw(self, entries: tuple[int, ...]) -> None:
        """Forget what became of a function, with the lock held."""
        row = self._rows.pop(entries)
        self._outcomes.pop(entries, None)
        for page in row.pages:
            self._of_page[page].discard(entries)
        for point in row.points:
            self._stop_serving(point, entries)

    def _stop_serving(self, point: int, entries: tuple[int, ...]) -> None:
        if self._serving.get(point) == entries:
            self.dispatch.remove(point)
            del self._serving[point]

"""Pages that the program may write and execute: how often each was taken from it, and when it may be next."""

from __future__ import annotations

import time
from collections import Counter
from math import inf

from xenon.hardware.cpu import Protection
from xenon.hardware.memory_map import PAGE_BYTES
from xenon.hardware.pages import Pages

_SETTLED_FREELY = 12  # times that a page is taken from a program that writes to it, without patience
_REWRITTEN = 4  # such times until code counts as what is not compiled for long
_PATIENCE = 0.01  # seconds that the program keeps it after that, twice as long each time
_CALM = 0.05  # seconds without a store into a page until what a sample has seen there is worth compiling
_MOST_DOUBLINGS = 7  # of the patience between two looks at whether a page is still written to


class RewrittenPages:
    """The pages of one console."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._settled: Counter[int] = Counter()  # page: how often it was taken
        self._settled_at: dict[int, float] = {}  # page: when it was last, in seconds of time.monotonic()

    def settle(self, address: int) -> bool:
        """Whether the page of an address holds code for now. A page that the program writes to is taken from
        it, unless that has happened too often of late."""
        if self._pages.holds_code(address):
            return True
        page = address // PAGE_BYTES
        times, now = self._settled[page], time.monotonic()
        patience = 0.0 if times < _SETTLED_FREELY else _PATIENCE * 2 ** (times - _SETTLED_FREELY)
        if now < self._settled_at.get(page, now) + patience:
            return False
        return self._settle(address, now)

    def _settle(self, address: int, now: float) -> bool:
        if not self._pages.allows(address, 4, Protection.EXECUTE):
            return False
        page = address // PAGE_BYTES
        self._settled[page] += 1
        self._settled_at[page] = now
        return self._pages.settle(address)

    def is_calm(self, address: int) -> bool:
        """Whether an address holds code that the program has not written to of late. A page that it has
        written to is taken from it, so that its next store is noticed; more seldom each time."""
        page, now = address // PAGE_BYTES, time.monotonic()
        waited = now - self._settled_at.get(page, -inf)
        times = min(self._settled[page], _MOST_DOUBLINGS)
        if self._pages.holds_code(address):
            return waited >= (_CALM if times > 1 else 0)
        if waited >= _PATIENCE * 2**times:
            self._settle(address, now)
        return False

    def is_rewritten(self, address: int) -> bool:
        """Whether the program has written again and again to the page of this code."""
        return self._settled[address // PAGE_BYTES] >= _REWRITTEN

    def start_anew(self, address: int, size: int) -> None:
        """The program has mapped or unmapped these pages."""
        for page in list(self._settled):
            if address <= page * PAGE_BYTES < address + size:
                del self._settled[page]
                self._settled_at.pop(page, None)

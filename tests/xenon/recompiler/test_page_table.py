"""The table of page rights that compiled code reads, against a plain model of it."""

from __future__ import annotations

import ctypes
import random

from xenon.hardware.cpu import Protection
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.lifter.layout import FAR_PAGES, page_rights
from xenon.recompiler.state import PageTable

_PAGES = RAM_BYTES // PAGE_BYTES
_RIGHTS = (Protection.NONE, Protection.READ, Protection.READ | Protection.WRITE)


def test_bits_tell_how_far_a_right_reaches() -> None:
    memory = UnifiedMemory()
    table = PageTable(memory)
    rng = random.Random(3)
    shown = [Protection.NONE] * 600
    for start in (0, _PAGES - len(shown)):
        table.set(start * PAGE_BYTES, len(shown) * PAGE_BYTES, Protection.NONE)
        shown = [Protection.NONE] * len(shown)
        for _ in range(120):
            first = rng.randrange(len(shown) - 1)
            size = min(rng.choice((1, 2, FAR_PAGES - 1, FAR_PAGES, 200)), len(shown) - first)
            protection = rng.choice(_RIGHTS)
            table.set((start + first) * PAGE_BYTES, size * PAGE_BYTES, protection)
            shown[first : first + size] = [protection] * size
            _check(memory, start, shown)


def _check(memory: UnifiedMemory, start: int, shown: list[Protection]) -> None:
    rows = ctypes.string_at(memory.host_address + RAM_BYTES + start, len(shown))
    for write, wanted in ((False, Protection.READ), (True, Protection.WRITE)):
        own, run, far = page_rights(write)
        reach = 0
        for row, protection in zip(reversed(rows), reversed(shown), strict=True):
            reach = reach + 1 if protection & wanted else 0
            assert (row & own > 0, row & run > 0, row & far > 0) == (reach > 0, reach > 1, reach >= FAR_PAGES)

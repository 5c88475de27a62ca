"""Every instruction of a program belongs to a function here: one of its symbols, or `sub_` and an address."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from xenon.hardware.cpu import Protection
from xenon.hardware.memory_map import PAGE_BYTES, align_down
from xenon.linux.program import Program, Segment
from xenon.linux.symbols import Symbol, Symbols

_CALL_MASK, _CALL = 0xFC00_0003, 0x4800_0001  # bl
_TOC_SETUP = (0x3C4C, 0x3842)  # addis r2, r12, …; addi r2, r2, …: a function of ABI v2 that pointers lead to
_LOCAL_ENTRY = 8  # bytes behind it, where calls lead


@dataclass(frozen=True, slots=True)
class Named:
    """From `start` up to `end`; `is_function` when a symbol, a call or the entry point says so."""

    start: int
    end: int
    name: str
    is_function: bool = False


class Functions:
    """The functions of a program, loaded at `base`; they cover its code without a gap."""

    def __init__(self, program: Program, base: int = 0) -> None:
        symbols = _chosen(Symbols(program, base).functions)
        found: list[Named] = []
        for part in program.segments:
            if part.protection & Protection.EXECUTE:
                entry = program.entry + base
                found += _cover(
                    part, base, entry, [one for one in symbols if _holds(part, base, one.address)]
                )
        self.all = tuple(found)
        """In the order of addresses."""
        self._starts = [one.start for one in found]

    def at(self, address: int) -> Named:
        """The function of an address; a page, or what is free of it, for code that is not the program's."""
        index = bisect_right(self._starts, address) - 1
        before = self.all[index].end if index >= 0 else 0
        if address < before:
            return self.all[index]
        page = align_down(address, PAGE_BYTES)
        start, end = max(page, before), page + PAGE_BYTES
        if index + 1 < len(self.all):
            end = min(end, self._starts[index + 1])
        return Named(start, end, _unnamed(start))


def words_between_entries(first: int, second: int) -> int:
    """2 for a function of ABI v2 that begins with these words and has a local entry behind them, else 0."""
    return 2 if (first >> 16, second >> 16) == _TOC_SETUP else 0


def _unnamed(address: int) -> str:
    return f"sub_{address:08x}"


def _holds(part: Segment, base: int, address: int) -> bool:
    return part.address + base <= address < part.address + base + len(part.data)


def _chosen(symbols: Iterable[Symbol]) -> list[Symbol]:
    """One symbol for an address, none inside of another: a size, then a plain and short name is preferred."""
    best: dict[int, Symbol] = {}
    for one in symbols:
        if one.address % 4 == 0:
            best[one.address] = min(one, best.get(one.address, one), key=_rank)
    found: list[Symbol] = []
    end = 0
    for _, one in sorted(best.items()):
        if one.address >= end or one.size:
            found.append(one)
            end = max(end, one.address + one.size)
    return found


def _rank(one: Symbol) -> tuple[bool, bool, int, str]:
    return one.size == 0, one.name.startswith("_"), len(one.name), one.name


def _cover(part: Segment, base: int, entry: int, symbols: list[Symbol]) -> list[Named]:
    first = part.address + base
    end = first + len(part.data) // 4 * 4
    names = {one.address: one.name for one in symbols}
    starts = {first, *names}
    taken = [(one.address, one.address + one.size) for one in symbols if one.size]
    starts |= {stop for _, stop in taken if stop < end}
    places = [start for start, _ in taken]
    known = set(names)
    for start in {entry, *_called(part, first)}:
        index = bisect_right(places, start) - 1
        if first <= start < end and (index < 0 or start >= taken[index][1]):
            known.add(start)
    return [
        Named(start, stop, names.get(start) or _unnamed(start), start in known)
        for start, stop in pairwise(sorted({*starts, *known, end}))
    ]


def _called(part: Segment, first: int) -> set[int]:
    """Where calls lead, and where functions begin that only pointers lead to."""
    words = np.frombuffer(part.data[: len(part.data) // 4 * 4], ">u4").astype(np.int64)
    calls = np.nonzero((words & _CALL_MASK) == _CALL)[0]
    distances = ((words[calls] & 0x03FF_FFFC) ^ 0x0200_0000) - 0x0200_0000
    targets = {int(one) for one in first + 4 * calls + distances}
    high = words >> 16
    global_entries = np.nonzero((high[:-1] == _TOC_SETUP[0]) & (high[1:] == _TOC_SETUP[1]))[0]
    starts = {first + 4 * int(index) for index in global_entries}
    return (targets - {start + _LOCAL_ENTRY for start in starts}) | starts

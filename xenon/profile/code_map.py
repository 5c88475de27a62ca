"""A program's code without gaps: its named functions, and `sub_` with an address for unnamed code."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from xenon.hardware.cpu import Protection
from xenon.hardware.memory_map import PAGE_BYTES, align_down
from xenon.linux.program import LoadSegment, Program
from xenon.powerpc.abi import INSTRUCTION_BYTES, LOCAL_ENTRY_BYTES, TOC_SETUP
from xenon.powerpc.functions import Functions, unnamed

_CALL_MASK, _CALL = 0xFC00_0003, 0x4800_0001  # bl


@dataclass(frozen=True, slots=True)
class Span:
    """Code from `start` up to `end`; `is_function` when a symbol, a call or the entry point says so."""

    start: int
    end: int
    name: str
    is_function: bool = False


class CodeMap:
    """The functions of a program, loaded at `base`, and the code between them."""

    def __init__(self, program: Program, base: int = 0) -> None:
        functions = program.functions(base)
        self.spans = tuple(
            span
            for segment in program.segments
            if segment.protection & Protection.EXECUTE
            for span in _spans(segment, base, program.entry + base, functions)
        )
        """All code of the program, in the order of addresses."""
        self._starts = [span.start for span in self.spans]

    def at(self, address: int) -> Span:
        """The span of an address; outside of the program's code, the part of its page that no span takes."""
        index = bisect_right(self._starts, address) - 1
        before = self.spans[index].end if index >= 0 else 0
        if address < before:
            return self.spans[index]
        page = align_down(address, PAGE_BYTES)
        start, end = max(page, before), page + PAGE_BYTES
        if index + 1 < len(self.spans):
            end = min(end, self._starts[index + 1])
        return Span(start, end, unnamed(start))


def _spans(segment: LoadSegment, base: int, entry: int, functions: Functions) -> Iterator[Span]:
    """The functions of a segment, and what is between them, split where calls lead."""
    first = segment.address + base
    end = first + len(segment.data) // INSTRUCTION_BYTES * INSTRUCTION_BYTES
    starts = {
        start
        for start in {entry, *_called(segment, first)}
        if first <= start < end and functions.at(start) is None
    }
    named = {function.address: function.name for function in functions.within(first, end)}
    stops = {function.end for function in functions.within(first, end) if function.end < end}
    for start, stop in pairwise(sorted({first, *named, *stops, *starts, end})):
        yield Span(start, stop, named.get(start) or unnamed(start), start in named or start in starts)


def _called(segment: LoadSegment, first: int) -> set[int]:
    """Where calls lead, and where functions with two entries begin."""
    size = len(segment.data) // INSTRUCTION_BYTES * INSTRUCTION_BYTES
    words: npt.NDArray[np.int64] = np.frombuffer(segment.data[:size], ">u4").astype(np.int64)
    calls = np.nonzero((words & _CALL_MASK) == _CALL)[0]
    distances = ((words[calls] & 0x03FF_FFFC) ^ 0x0200_0000) - 0x0200_0000
    targets = {int(target) for target in first + INSTRUCTION_BYTES * calls + distances}
    high = words >> 16
    setups = np.nonzero((high[:-1] == TOC_SETUP[0]) & (high[1:] == TOC_SETUP[1]))[0]
    starts = {first + INSTRUCTION_BYTES * int(index) for index in setups}
    return (targets - {start + LOCAL_ENTRY_BYTES for start in starts}) | starts

"""How often each instruction was executed, exactly, from the tables of hardware/instruments.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xenon.hardware.instruments import Instruments
from xenon.hardware.memory import UnifiedMemory

Numbers = NDArray[np.int64]
Words = NDArray[np.uint32]

_BC, _B, _XL = 16, 18, 19  # primary opcodes
_BCLR, _BCCTR = 16, 528  # extended opcodes of 19


@dataclass(frozen=True, slots=True)
class Counts:
    """A stretch of code from `start`: its words, and how often Unicorn and compiled code executed each."""

    start: int
    words: Words
    unicorn: Numbers
    compiled: Numbers

    @property
    def end(self) -> int:
        return self.start + 4 * len(self.words)

    @property
    def executed(self) -> Numbers:
        return self.unicorn + self.compiled


def branches(words: Words) -> NDArray[np.bool_]:
    """Which words are branches: what follows one is executed only if something jumps there."""
    primary, extended = words >> 26, words >> 1 & 0x3FF
    to_register = (primary == _XL) & ((extended == _BCLR) | (extended == _BCCTR))
    return (primary == _BC) | (primary == _B) | to_register


def read_counts(memory: UnifiedMemory, instruments: Sequence[Instruments]) -> list[Counts]:
    """The counts of all these CPUs together, in the order of addresses. None of them may be running."""
    found = []
    for start, end in _joined(piece for one in instruments for piece in one.code):
        words = np.frombuffer(memory.view[start:end], ">u4").astype(np.uint32)
        unicorn, compiled = np.zeros(len(words), np.int64), np.zeros(len(words), np.int64)
        for one in instruments:
            blocks, jumps = (np.frombuffer(table, np.int64) for table in one.tables(start, end))
            unicorn += np.cumsum(blocks)
            compiled += _sums_up_to_branches(jumps, branches(words))
        found.append(Counts(start, words, unicorn, compiled))
    return found


def _sums_up_to_branches(jumps: Numbers, ends: NDArray[np.bool_]) -> Numbers:
    """Running sums that begin anew behind each branch."""
    sums = np.cumsum(jumps)
    at_ends = np.where(ends, np.arange(len(ends)), -1)
    last = np.concatenate([[-1], np.maximum.accumulate(at_ends)[:-1]])  # the branch before each word, or -1
    return sums - np.where(last >= 0, sums[last], 0)


def _joined(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """(start, end) of what (start, size) pieces cover, each address once."""
    found: list[tuple[int, int]] = []
    for start, size in sorted(set(pieces)):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], start + size)
        else:
            found.append((start, start + size))
    return found

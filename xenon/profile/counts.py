"""How often each instruction was executed, exactly, from the tables of hardware/instruments.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.unicorn.instruments import Instruments

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
    """Which words are branches. The word behind a branch is executed only if something jumps to it."""
    primary, extended = words >> 26, words >> 1 & 0x3FF
    to_register = (primary == _XL) & ((extended == _BCLR) | (extended == _BCCTR))
    is_branch: NDArray[np.bool_] = (primary == _BC) | (primary == _B) | to_register
    return is_branch


def read_counts(memory: UnifiedMemory, instruments: Sequence[Instruments]) -> list[list[Counts]]:
    """The counts of each CPU, in the order of addresses; all have the same stretches, and none may run."""
    of_cpus: list[list[Counts]] = [[] for _ in instruments]
    for start, end in _joined(piece for instrument in instruments for piece in instrument.code):
        words = np.frombuffer(memory.view[start:end], ">u4").astype(np.uint32)
        ends = branches(words)
        for instrument, counts in zip(instruments, of_cpus, strict=True):
            blocks, jumps = (np.frombuffer(table, np.int64) for table in instrument.tables(start, end))
            counts.append(Counts(start, words, np.cumsum(blocks), _sums_up_to_branches(jumps, ends)))
    return of_cpus


def read_exits(instruments: Sequence[Instruments]) -> Counter[int]:
    """How often compiled code has left to Unicorn, by the address where that went on; no CPU may run."""
    exits: Counter[int] = Counter()
    for start, end in _joined(piece for instrument in instruments for piece in instrument.code):
        for instrument in instruments:
            counts = np.frombuffer(instrument.exits(start, end), np.int64)
            for index in map(int, np.flatnonzero(counts)):
                exits[start + 4 * index] += int(counts[index])
    return exits


def added(of_cpus: Sequence[Sequence[Counts]]) -> list[Counts]:
    """The counts of several CPUs, added up."""
    return [
        Counts(
            same[0].start,
            same[0].words,
            np.sum([counts.unicorn for counts in same], axis=0),
            np.sum([counts.compiled for counts in same], axis=0),
        )
        for same in zip(*of_cpus, strict=True)
    ]


def _sums_up_to_branches(jumps: Numbers, ends: NDArray[np.bool_]) -> Numbers:
    """Running sums that start from 0 behind each branch."""
    sums = np.cumsum(jumps)
    at_ends = np.where(ends, np.arange(len(ends)), -1)
    last = np.concatenate([[-1], np.maximum.accumulate(at_ends)[:-1]])  # the branch before each word, or -1
    return sums - np.where(last >= 0, sums[last], 0)


def _joined(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """(start, end) of the union of (start, size) pieces."""
    joined: list[tuple[int, int]] = []
    for start, size in sorted(set(pieces)):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], start + size)
        else:
            joined.append((start, start + size))
    return joined

"""Finds floating-point instructions whose exact effect on FPSCR the program may see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xenon.lifter.status_forms import NOTING, READERS
from xenon.powerpc.isa import table

_DISTANCE = 64  # instructions
_BLR = np.uint32(0x4E80_0020)

Indices = NDArray[np.intp]


class NearStatus:
    """Forms that change FPSCR by the way, no more than 64 instructions from one that shows FR, FI and FPRF,
    and with no `blr` between them. Of all others Unicorn notes what programs look at: the sticky
    exceptions."""

    def __init__(self) -> None:
        rows = [(row.mnemonic.removesuffix("."), row) for row in table()]
        self._noting = [(np.uint32(row.mask), np.uint32(row.opcode)) for name, row in rows if name in NOTING]
        self._readers = [
            (np.uint32(row.mask), np.uint32(row.opcode)) for _, row in rows if row.mnemonic in READERS
        ]

    def __contains__(self, word: object) -> bool:
        return isinstance(word, int) and any(word & int(mask) == int(opcode) for mask, opcode in self._noting)

    def find(self, words: NDArray[np.uint32]) -> Indices:
        readers = _members(words, self._readers)
        if not len(readers):
            return readers
        ends = np.flatnonzero(words == _BLR)
        near = np.zeros(len(words), bool)
        for reader in readers.tolist():
            index = int(np.searchsorted(ends, reader))
            first = int(ends[index - 1]) + 1 if index else 0
            last = int(ends[index]) if index < len(ends) else len(words)
            near[max(first, reader - _DISTANCE) : min(last, reader + _DISTANCE)] = True
        places = np.flatnonzero(near)
        return places[_members(words[places], self._noting)]


def _members(words: NDArray[np.uint32], forms: list[tuple[np.uint32, np.uint32]]) -> Indices:
    found = np.zeros(len(words), bool)
    for mask, opcode in forms:
        found |= words & mask == opcode
    return np.flatnonzero(found)

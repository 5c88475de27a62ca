"""Finds `mtfsf` that may set OE, UE or XE of FPSCR from a value that is known only when it is executed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xenon.lifter.fpscr import OE, UE, XE
from xenon.powerpc.decode import decode
from xenon.powerpc.isa import table

_FIELDS = {0x02 << 17: OE | UE, 0x01 << 17: XE}  # of FLM in the word
_FARTHEST = 16  # instructions between a value and its use
_MFFS = frozenset(("mffs", "mffs."))
_FORMS = [
    (np.uint32(row.mask), np.uint32(row.opcode)) for row in table() if row.mnemonic in ("mtfsf", "mtfsf.")
]


class ModeWrites:
    """A set of instruction words (instruction_hooks.Words): `mtfsf` of a field with OE, UE or XE."""

    def __contains__(self, word: object) -> bool:
        return isinstance(word, int) and bool(_members(np.array([word], np.uint32))[0])

    def find(self, words: NDArray[np.uint32]) -> NDArray[np.intp]:
        """The indices of the members, but for those that put back what `mffs` has just read."""
        return np.array(
            [index for index in np.flatnonzero(_members(words)).tolist() if not _is_put_back(words, index)],
            np.intp,
        )


def enables(word: int, value: int) -> bool:
    """Whether a member sets OE, UE or XE, where FRB has the bits `value`."""
    return any(word & field and value & bits for field, bits in _FIELDS.items())


def _members(words: NDArray[np.uint32]) -> NDArray[np.bool_]:
    members = np.zeros(len(words), bool)
    for mask, opcode in _FORMS:
        members |= words & mask == opcode
    members &= words & np.uint32(sum(_FIELDS)) != 0
    return members


def _is_put_back(words: NDArray[np.uint32], index: int) -> bool:
    source = f"f{int(words[index]) >> 11 & 31}"
    for word in words[max(0, index - _FARTHEST) : index][::-1].tolist():
        instruction = decode(0, word)
        if instruction is None:
            return False
        if source in instruction.writes:
            return instruction.mnemonic in _MFFS
    return False

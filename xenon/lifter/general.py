"""The words that differ only in their registers, and the one that stands for them all.

Nothing of the lifter that generates code is imported here: where such a function is prepared, this is all
that is needed to find it.
"""

from __future__ import annotations

from typing import NamedTuple

from xenon.powerpc.isa import Kind, encoding
from xenon.powerpc.operands import operands_of

_Pieces = tuple[tuple[int, int, int], ...]  # of a number in a word: (shift, bits, and where they go)


class Field(NamedTuple):
    """An operand field: where its number is in a word, and the number it has in the word that is lifted."""

    pieces: _Pieces
    number: int

    def put(self, word: int) -> int:
        """The word with the field's own number in it."""
        for shift, bits, into in self.pieces:
            ones = (1 << bits) - 1
            word = word & ~(ones << shift) | (self.number >> into & ones) << shift
        return word


def _whole(shift: int, number: int) -> Field:
    return Field(((shift, 5, 0),), number)


FIELDS = {
    **{f"{kind}{letter}": _whole(shift, number)
       for kind in "RFV"
       for letter, shift, number in (("T", 21, 1), ("S", 21, 1), ("A", 16, 2), ("B", 11, 3), ("C", 6, 4))},
    "RA0": _whole(16, 2),
    "BF": Field(((23, 3, 0),), 0),
    "VD128": Field(((21, 5, 0), (2, 2, 5)), 1),
    "VA128": Field(((16, 5, 0), (5, 1, 5), (10, 1, 6)), 2),
    "VB128": Field(((11, 5, 0), (0, 2, 5)), 3),
    "VC128": Field(((6, 3, 0),), 4),
}  # fmt: skip
IMPLIED = {"CR0": 0, "CR1": 1, "CR6": 6}
BIT_NAMES = ("CA", "SAT")


def general_word(word: int) -> int | None:
    """The word that stands for all words of the same form which differ in registers, and in bits that Xenon
    ignores; None where the form has other operands."""
    row = encoding(word)
    if row is None:
        return None
    operands = operands_of(without_dot(row.mnemonic, row.kind))
    if operands is None:
        return None
    names = operands.reads + operands.writes
    if not all(name in FIELDS or name in IMPLIED or name in BIT_NAMES for name in names):
        return None
    # In the other kinds of form no bit but those of registers is an operand.
    general = word if row.kind in (Kind.VMX, Kind.VMX128) else row.opcode
    for name in names:
        if name in FIELDS:
            general = FIELDS[name].put(general)
    return general


def without_dot(mnemonic: str, kind: Kind) -> str:
    """Of a floating-point form with a dot, the form that does all but set CR1."""
    return mnemonic.rstrip(".") if kind is Kind.FLOAT else mnemonic

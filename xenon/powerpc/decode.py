"""An instruction word at an address: fields by the names of the books, registers, access to memory."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from xenon.powerpc.isa import encoding, overflow_forms
from xenon.powerpc.operands import MemoryAccess, operands_of, registers, vmx128_registers

_LR, _CTR, _VRSAVE = 8, 9, 256  # numbers of special registers
_MOST_REMEMBERED = 1 << 16  # words; programs repeat theirs
_SPECIAL_REGISTERS = {_LR: "lr", _CTR: "ctr", _VRSAVE: "vrsave"}


def signed(value: int, bits: int) -> int:
    """The low `bits` of a value as a two's complement number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


class Instruction(NamedTuple):
    """A decoded word at its guest address.

    `mnemonic` is the table's, but for mfspr and mtspr of LR, CTR and VRSAVE, which go by mflr, mtlr, mfctr,
    mtctr, mfvrsave and mtvrsave.
    `reads` and `writes` hold register names such as r3, f1, v2, c31 (a bit of CR), lr, ctr, ca.
    """

    address: int
    word: int
    mnemonic: str
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    access: MemoryAccess | None = None

    def bits(self, first: int, width: int) -> int:
        """A field by its first bit, 0 being the most significant, as the books count."""
        return self.word >> (32 - first - width) & ((1 << width) - 1)

    @property
    def rt(self) -> int:
        return self.word >> 21 & 31

    @property
    def ra(self) -> int:
        return self.word >> 16 & 31

    @property
    def rb(self) -> int:
        return self.word >> 11 & 31

    @property
    def rc(self) -> int:
        return self.word >> 6 & 31

    @property
    def general_name(self) -> str:
        """The mnemonic without VMX128's ending: `vaddfp` of vaddfp128, `vcmpeqfp.` of vcmpeqfp128."""
        return self.mnemonic.replace("128", "")

    @property
    def sets_overflow(self) -> bool:
        """Whether it is a form with OE, which sets OV and SO: add, subf, neg, mull and div."""
        return self.mnemonic in overflow_forms()

    @property
    def vector_fields(self) -> tuple[int, int, int, int]:
        """The numbers of VT, VA, VB and VC, as AltiVec or VMX128 has them."""
        if "128" in self.mnemonic:
            return vmx128_registers(self.word)
        return self.rt, self.ra, self.rb, self.rc

    @property
    def vt(self) -> int:
        return self.vector_fields[0]

    @property
    def va(self) -> int:
        return self.vector_fields[1]

    @property
    def vb(self) -> int:
        return self.vector_fields[2]

    @property
    def si(self) -> int:
        return signed(self.word, 16)

    @property
    def ui(self) -> int:
        return self.word & 0xFFFF

    @property
    def bf(self) -> int:
        return self.word >> 23 & 7

    @property
    def displacement(self) -> int:
        """Of the D and DS forms, in bytes."""
        ds_form = self.access is not None and self.access.form == "DS"
        return signed(self.word & 0xFFFC, 16) if ds_form else self.si


@lru_cache(_MOST_REMEMBERED)
def mnemonic_of(word: int) -> str:
    """What Xenon calls a word (see Instruction.mnemonic); empty where it has no such instruction."""
    row = encoding(word)
    if row is None:
        return ""
    if row.mnemonic in ("mfspr", "mtspr"):
        number = word >> 16 & 31 | (word >> 11 & 31) << 5
        if number in _SPECIAL_REGISTERS:
            return row.mnemonic[:2] + _SPECIAL_REGISTERS[number]
    return row.mnemonic


def decode(address: int, word: int) -> Instruction | None:
    """The instruction at an address; None where Xenon has none, or where operands.tsv does not list it."""
    parts = _parts_of(word)
    return None if parts is None else Instruction(address, word, *parts)


@lru_cache(_MOST_REMEMBERED)
def _parts_of(word: int) -> tuple[str, frozenset[str], frozenset[str], MemoryAccess | None] | None:
    """Mnemonic, registers read and written, and access."""
    mnemonic = mnemonic_of(word)
    operands = operands_of(mnemonic)
    if operands is None:
        return None
    return mnemonic, registers(word, operands.reads), registers(word, operands.writes), operands.access

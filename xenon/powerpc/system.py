"""Instructions of an operating system, by their words: special registers, MSR, translation, interrupts."""

from __future__ import annotations

from collections.abc import Callable

from xenon.powerpc.isa import Encoding, Kind, encoding, table
from xenon.powerpc.words import KEYS, key_of

FROM_SPECIAL, FROM_TIME_BASE, TO_SPECIAL = 0x7C00_02A6, 0x7C00_02E6, 0x7C00_03A6
FROM_MSR, TO_MSR, TO_MSR_DOUBLEWORD = 0x7C00_00A6, 0x7C00_0124, 0x7C00_0164
LWARX, LDARX, STWCX, STDCX = 0x7C00_0028, 0x7C00_00A8, 0x7C00_012D, 0x7C00_01AD
VERY_LOW_PRIORITY = 0x7FFF_FB78
"""or 31, 31, 31: a hardware thread says that it waits (db16cyc on Xenon)."""
RETURN = 0x4C00_0024
"""rfid."""
FORM = 0xFC00_07FE
"""The bits of a word that say which of these instructions it is."""

_TRAP_IMMEDIATE, _EXTENDED, _TRAPS = (2, 3), 31, (4, 68)
"""Primary opcodes of tdi and twi; that of tw and td, and their extended ones."""
_TRAP_DOUBLEWORDS = (2, 68)
"""Primary opcode of tdi, extended one of td."""
_OTHERS = ("rfid", "hrfid", "tlbiel", "tlbie", "tlbsync", "slbmte", "slbie", "slbia", "slbmfev", "slbmfee")
_SPECIAL = (FROM_SPECIAL, FROM_TIME_BASE, TO_SPECIAL)
_READS = frozenset((FROM_SPECIAL, FROM_TIME_BASE))
_USERS = frozenset((1, 8, 9, 256, 272, 273, 274, 275))
"""XER, LR, CTR, VRSAVE, SPRG0 to SPRG3: any engine holds these."""
_SERVED = frozenset((268, 269, 287))
"""TB, TBU, PVR."""


def _forms() -> frozenset[int]:
    return frozenset(row.opcode for row in table() if row.mnemonic in _OTHERS) | {
        *_SPECIAL,
        FROM_MSR,
        TO_MSR,
        TO_MSR_DOUBLEWORD,
    }


_FORMS = _forms()


def special_register(word: int) -> int:
    """The number of the special register in an instruction, whose two halves stand the other way round."""
    return word >> 16 & 31 | (word >> 11 & 31) << 5


def is_privileged(word: int) -> bool:
    """Whether a word is one of these instructions."""
    form = word & FORM
    return form in _FORMS and not (form in _SPECIAL and special_register(word) in _USERS)


def is_trap(word: int) -> bool:
    """Whether a word is tw, td, twi or tdi."""
    primary = word >> 26
    return primary in _TRAP_IMMEDIATE or (primary == _EXTENDED and word >> 1 & 0x3FF in _TRAPS)


def traps(word: int, read_gpr: Callable[[int], int]) -> bool:
    """Whether tw, td, twi or tdi traps. `read_gpr` gives the 64 bits of a general register."""
    is_immediate = word >> 26 in _TRAP_IMMEDIATE
    is_doubleword = (word >> 26 if is_immediate else word >> 1 & 0x3FF) in _TRAP_DOUBLEWORDS
    immediate = word & 0xFFFF
    ones, sign = ((1 << 64) - 1, 1 << 63) if is_doubleword else ((1 << 32) - 1, 1 << 31)
    a = read_gpr(word >> 16 & 31) & ones
    b = (immediate - (immediate << 1 & 0x10000) if is_immediate else read_gpr(word >> 11 & 31)) & ones
    conditions = (
        (a ^ sign) < (b ^ sign),
        (a ^ sign) > (b ^ sign),
        a == b,
        a < b,
        a > b,
    )  # of TO's bits, from the first
    return any(holds and word >> 25 - index & 1 for index, holds in enumerate(conditions))


def is_for_programs(word: int) -> bool:
    """Whether a word is an instruction of Xenon's that programs may execute."""
    row = encoding(word)
    return (
        row is not None and row.kind is not Kind.SYSTEM and row.mnemonic != "dcbi" and not is_privileged(word)
    )


def is_of_reservations(word: int) -> bool:
    """Whether a word is lwarx, ldarx, stwcx. or stdcx."""
    form = word & FORM
    return form in (LWARX, LDARX) or (form in (STWCX & FORM, STDCX & FORM) and word & 1 == 1)


def is_served_to_users(word: int) -> bool:
    """Whether a word reads the time base, or PVR, which Linux lets programs read."""
    return word & FORM in _READS and special_register(word) in _SERVED


class Instructions:
    """Instructions whose words have one of these `forms`; `holds` has the last word."""

    def __init__(self, forms: frozenset[int], holds: Callable[[int], bool]) -> None:
        self._forms, self._holds = forms, holds

    def __contains__(self, word: object) -> bool:
        return isinstance(word, int) and self._holds(word)

    def likely(self) -> bytes:
        """See Words."""
        likely = bytearray(KEYS)
        for form in self._forms:
            likely[key_of(form)] = likely[key_of(form | 1)] = 1
        return bytes(likely)


RESERVATIONS = Instructions(
    frozenset(word & FORM for word in (LWARX, LDARX, STWCX, STDCX)), is_of_reservations
)
WAITING_HINTS = Instructions(frozenset((VERY_LOW_PRIORITY & FORM,)), VERY_LOW_PRIORITY.__eq__)
PRIVILEGED = Instructions(_FORMS, is_privileged)
SERVED_TO_USERS = Instructions(_READS, is_served_to_users)


def named(word: int) -> str:
    """The mnemonic of an instruction of Xenon's, else the word."""
    row: Encoding | None = encoding(word)
    return row.mnemonic if row else f"0x{word:08x}"

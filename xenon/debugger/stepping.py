"""One instruction at a time: branches are taken here, and everything else runs up to the next instruction."""

from __future__ import annotations

from collections.abc import Callable

from xenon.hardware.memory_map import WORD_BYTES
from xenon.powerpc.decode import mnemonic_of, signed

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_LINK = 1
_ABSOLUTE = 2
_RESERVING = frozenset(("lwarx", "ldarx"))
_STORING = frozenset(("stwcx.", "stdcx."))
_LONGEST_SEQUENCE = 16  # instructions: as long as gdb takes them

Fetch = Callable[[int], int | None]
"""The word at an address; None where there is no code."""


def branch(word: int, pc: int, registers: dict[str, int]) -> tuple[int, dict[str, int]] | None:
    """The next PC and the registers that a branch sets; None for any other instruction."""
    mnemonic, after = mnemonic_of(word).rstrip("+-"), pc + WORD_BYTES
    relative = 0 if word & _ABSOLUTE else pc
    linked = {"lr": after & _MASK} if word & _LINK else {}
    opcode = word >> 26
    if opcode == 18:
        return (relative + signed(word & 0x03FF_FFFC, 26)) & _MASK, linked
    if opcode == 16:
        target = relative + signed(word & 0xFFFC, 16)
    elif mnemonic.startswith("bclr"):
        target = registers["lr"] & ~3
    elif mnemonic.startswith("bcctr"):
        target = registers["ctr"] & ~3
    else:
        return None
    options, bit = word >> 21 & 31, word >> 16 & 31
    changed = dict(linked)
    taken = True
    if not options & 0b00100 and not mnemonic.startswith("bcctr"):
        changed["ctr"] = (registers["ctr"] - 1) & _MASK
        taken = (changed["ctr"] != 0) != bool(options & 0b00010)
    if not options & 0b10000:
        taken = taken and (registers["cr"] >> (31 - bit) & 1) == (options >> 3 & 1)
    return (target if taken else after) & _MASK, changed


def next_places(word: int, pc: int, fetch: Fetch) -> tuple[int, ...]:
    """Where a run of the instruction at `pc`, which is no branch, comes to. What is between a reservation and
    its conditional store is one step: a stop in the middle would lose the reservation for ever."""
    if mnemonic_of(word) not in _RESERVING:
        return ((pc + WORD_BYTES) & _MASK,)
    leaving: list[int] = []
    for place in range(pc + WORD_BYTES, pc + _LONGEST_SEQUENCE * WORD_BYTES, WORD_BYTES):
        inner = fetch(place)
        if inner is None:
            break
        if inner >> 26 in (16, 18):
            leaving.append(place + signed(inner & (0xFFFC if inner >> 26 == 16 else 0x03FF_FFFC), 26))
        if mnemonic_of(inner) in _STORING:
            last = place + WORD_BYTES
            return (last, *(target for target in leaving if not pc <= target <= last))
    return ((pc + WORD_BYTES) & _MASK,)

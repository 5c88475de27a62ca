"""Tests of machine code as text."""

from __future__ import annotations

import struct

import pytest

from xenon.powerpc.disassembly import disassemble
from xenon.powerpc.isa import Kind, table


def text(word: int) -> str:
    ((_, _, result),) = disassemble(struct.pack(">I", word), 0x1000)
    return result


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (0x14A218D0, "vmaddfp128 v5, v2, v3"),
        (0x10A048C3, "lvx128 v5, 0, r9"),
        (0x104051C3, "stvx128 v2, 0, r10"),
        (0x7CA0_4C0E, "lvlx v5, 0, r9"),
        (0x7CA9_550E, "stvlx v5, r9, r10"),
        (0x18811E50, "vpkd3d128 v4, v3, 0, 1, 1"),
        (0x186C1FF0, "vupkd3d128 v3, v3, 3"),
        (0x1860_1FF0 & ~0x7F0 | 0x380, "vupkhsb128 v3, v3"),
        (0x1860_1FF0 & ~0x7F0 | 0x7A0, "vupkhsh128 v3, v3"),
        (0x14A3_21DD, "vmsum4fp128 v101, v3, v36"),
        (0x187F_0770, "vspltisw128 v3, -1"),
        (0x1000_0010 | 3 << 21 | 4 << 16 | 5 << 11 | 0x20 | 9 << 6, "vsldoi128 v3, v36, v5, 9"),
        (0x7C64_2E14, "addo r3, r4, r5"),
        (0x7C64_2E15, "addo. r3, r4, r5"),
        (0x7C64_2A14, "add r3, r4, r5"),
        (0x7C64_2C2A, "lswx r3, r4, r5"),
        (0xFF82_1840, "fcmpo cr7, f2, f3"),
        (0x0400_0001, ".long 0x04000001"),
    ],
)
def test_an_instruction_is_shown_as_an_assembler_has_it(word: int, expected: str) -> None:
    assert text(word) == expected


def test_every_instruction_of_xenon_has_a_text() -> None:
    unnamed = [row.mnemonic for row in table() if row.kind is not Kind.ABSENT and ".long" in text(row.opcode)]
    assert set(unnamed) == {"mfocrf", "mtocrf"}  # whose masks name no field here

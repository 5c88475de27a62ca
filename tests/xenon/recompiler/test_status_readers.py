"""Which code shows FR, FI or FPRF: shapes that compilers give readers of FPSCR."""

from __future__ import annotations

import pytest

from xenon.lifter.flow import explore
from xenon.lifter.target import Target
from xenon.lifter.unit import lift_unit
from xenon.recompiler.status_readers import shows_status

MFFS_F0, MFFS_F1, MFFS_F12 = 0xFC00048E, 0xFC20048E, 0xFD80048E
STFD, LD = 0xD801FFF8, 0xE921FFF8  # stfd f0,-8(r1); ld r9,-8(r1)
LWZ_HIGH, LWZ = 0x8121FFF8, 0x8121FFFC  # lwz r9,-8(r1); lwz r9,-4(r1)
MODE = 0x552907BE  # clrlwi r9,r9,30
EXTSW_R3, BLR, NOP, BEQ = 0x7D2307B4, 0x4E800020, 0x60000000, 0x41820020
SHARED = 0x7D231838  # and r3,r9,r3
STICKY, ALL_BELOW = 0x5463008C, 0x5463013E  # rlwinm r3,r3,0,2,6; clrlwi r3,r3,4

KEEPING = {
    "the rounding mode": [MFFS_F0, STFD, NOP, LD, MODE, EXTSW_R3, BLR],
    "the rounding mode of the low word": [MFFS_F0, STFD, LWZ, MODE, EXTSW_R3, BLR],
    "the high word": [MFFS_F0, STFD, LWZ_HIGH, LD, MODE, EXTSW_R3, BLR],
    "sticky exceptions of a mask": [MFFS_F0, STFD, LD, SHARED, STICKY, BLR],
    "what is put back": [MFFS_F12, 0xFF80008C, BEQ, 0xFDFE658E, BLR],
    "bits cleared and put back": [
        *(MFFS_F0, STFD, LD, SHARED, 0xF861FFF0, 0xC801FFF0, 0xFDFE058E, 0x38600000, BLR)
    ],
    "another field": [0xFC000080, BLR],  # mcrfs 0,0
    "a rounding mode set": [0xFF80010C, 0xFFA0004C],  # mtfsfi 7,0; mtfsb1 29
    "another exception enabled": [0xFF00810C],  # mtfsfi 6,8
    "no reader": [STFD, LD, EXTSW_R3, BLR],
}  # fmt: skip
SHOWING = {
    "all of it in r3": [MFFS_F0, STFD, LD, EXTSW_R3, BLR],
    "a mask with FPRF": [MFFS_F0, STFD, LD, SHARED, ALL_BELOW, BLR],
    "a mask of the caller's": [MFFS_F0, STFD, LD, SHARED, BLR],
    "stored elsewhere": [MFFS_F0, 0xD8030000, BLR],
    "a word stored elsewhere": [MFFS_F0, STFD, LD, 0x91230000, BLR],
    "as a double": [MFFS_F1, BLR],
    "used behind a branch": [MFFS_F0, STFD, LD, BEQ, MODE, BLR],
    "compared": [MFFS_F0, STFD, LD, 0x2C090000, MODE, BLR],
    "not looked at yet": [MFFS_F0, STFD, BEQ, 0x48000000],
    "the field with FR": [0xFC0C0080, BLR],  # mcrfs 0,3
    "OE set": [0xFF20004C],  # mtfsb1 25
    "UE set with others": [0xFF00210C],  # mtfsfi 6,2
    "bits set and put back": [MFFS_F0, STFD, LD, 0x7D231B78, 0xF861FFF0, 0xC801FFF0, 0xFDFE058E, BLR],
    "FPCC": [0xFC100080, BLR],  # mcrfs 0,4
}


@pytest.mark.parametrize("name", KEEPING)
def test_other_bits_of_fpscr_show_nothing_of_the_last_instruction(name: str) -> None:
    assert not shows_status(KEEPING[name])


@pytest.mark.parametrize("name", SHOWING)
def test_what_may_show_the_last_instruction_is_noticed(name: str) -> None:
    assert shows_status(SHOWING[name])


def lifted(words: list[int], shows: bool) -> str:
    code = {0x1000 + 4 * index: word for index, word in enumerate(words)}
    target = Target(x86=False, ram_bytes=1 << 20, page_bytes=4096, shows_status=shows)
    return lift_unit(explore(code.get, (0x1000,)), "f", target)


def test_only_the_last_instruction_is_noted_and_only_where_it_shows() -> None:
    """fmul f1,f1,f2; fadd f1,f1,f3; blr"""
    words = [0xFC2100B2, 0xFC21182A, BLR]
    plain, noted = lifted(words, shows=False), lifted(words, shows=True)
    added = [line for line in noted.splitlines() if line.lstrip().startswith("store")]
    before = [line for line in plain.splitlines() if line.lstrip().startswith("store")]
    assert len(added) == len(before) + 3  # two operands and the form
    assert "@exact_" not in plain + noted

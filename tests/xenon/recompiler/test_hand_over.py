"""What a CPU's engine hands over: which words trap, and accesses that a page does not allow."""

from __future__ import annotations

import struct

import pytest
from systems import RECOMPILER

from xenon.hardware.cpu import Access, Protection, Trap, TrapKind
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.hardware.unicorn.engine_memory import engine_layout
from xenon.recompiler.hand_over import hand_over
from xenon.recompiler.state import PageTable, State

pytestmark = [
    RECOMPILER,
    pytest.mark.skipif(engine_layout() is None, reason="where an engine has its registers is not known here"),
]

CODE, DATA = 0x0001_0000, 0x0002_0000
SC = 0x4400_0002
DCBZ, LVEWX_V1, STVX128_V33 = 0x7C00_1FEC, 0x7C20_188E, 0x1020_19CB  # at r3


class Lab:
    """A CPU with a page of code and one of data, whose rights are given."""

    def __init__(
        self, rights: Protection = Protection.READ | Protection.WRITE, shares_memory: bool = False
    ) -> None:
        self.memory = UnifiedMemory()
        self.pages = Pages(self.memory)
        self.pages.listen(PageTable(self.memory))
        self.cpu = UnicornCpu(self.pages)
        self.state = State()
        hand_over(self.cpu, self.pages, self.state, shares_memory)
        self.pages.map(CODE, PAGE_BYTES, Protection.READ | Protection.EXECUTE)
        self.pages.map(DATA, PAGE_BYTES, rights)

    def run(self, *words: int, r3: int = 0) -> Trap:
        self.memory.write(CODE, struct.pack(f">{len(words) + 1}I", *words, SC))
        self.pages.written(CODE, PAGE_BYTES)
        self.cpu.write_gpr(3, r3)
        return self.cpu.run(CODE)


@pytest.mark.parametrize(
    "word",
    [
        0x7C64_2215,  # add. r3, r4, r4
        0x7C03_202F,  # lwzx r0, r3, r4 with its lowest bit
        0x7C80_2378 | 1 << 0,  # or. r0, r4, r4
        0xFC20_1891 | 0x001F_0000,  # fmr. f1, f3 with bits of FRA
        0x1020_0002 | 3 << 11,  # vmaxub v1, v0, v3, which stands beside lvsl128
        0x7C64_0034 | 0xF800,  # cntlzw r4, r3 with bits of RB
        0x2C23_0000 | 1 << 22,  # cmpdi r3, 0 with a reserved bit
    ],
)
def test_reserved_bits_are_ignored(word: int) -> None:
    trap = Lab().run(word, r3=DATA)
    assert (trap.kind, trap.pc) == (TrapKind.SYSTEM_CALL, CODE + 8)


def test_a_word_of_no_instruction_is_still_illegal() -> None:
    trap = Lab().run(0x6000_0000, 0x5800_0000)
    assert (trap.kind, trap.pc) == (TrapKind.ILLEGAL_INSTRUCTION, CODE + 4)


@pytest.mark.parametrize(
    ("word", "write", "size"), [(DCBZ, True, 32), (LVEWX_V1, False, 16), (STVX128_V33, True, 16)]
)
def test_an_access_to_what_is_not_mapped_is_a_fault_at_the_instruction(
    word: int, write: bool, size: int
) -> None:
    trap = Lab().run(0x6000_0000, word, r3=0x0100_0045)
    assert (trap.kind, trap.pc, trap.address) == (TrapKind.BAD_ADDRESS, CODE + 4, 0x0100_0045 & -size)
    assert (trap.access, trap.size, trap.mapped) == (Access.WRITE if write else Access.READ, size, False)


def test_a_block_is_not_cleared_in_a_page_that_is_read_only() -> None:
    lab = Lab(Protection.READ)
    lab.memory.write(DATA, b"kept" * 16)
    trap = lab.run(DCBZ, r3=DATA)
    assert (trap.kind, trap.access, trap.mapped) == (TrapKind.BAD_ADDRESS, Access.WRITE, True)
    assert lab.memory.read(DATA, 64) == b"kept" * 16


def test_code_that_is_cleared_is_executed_no_more() -> None:
    lab = Lab(Protection.READ | Protection.WRITE | Protection.EXECUTE)
    add = 0x3884_0001  # addi r4, r4, 1
    lab.memory.write(DATA, struct.pack(">4I", add, add, add, 0x4E80_0020))
    call = 0x4800_0001 | (DATA - CODE - 4) & 0x03FF_FFFC
    assert lab.run(0x3880_0000, call).kind is TrapKind.SYSTEM_CALL
    assert lab.cpu.read_gpr(4) == 3
    trap = lab.run(0x3880_0000, DCBZ, 0x4800_0001 | (DATA - CODE - 8) & 0x03FF_FFFC, r3=DATA)
    assert (trap.kind, trap.pc) == (TrapKind.ILLEGAL_INSTRUCTION, DATA)
    assert lab.memory.read(DATA, 32) == bytes(32)


@pytest.mark.parametrize("view", [0x8000_0000, 0xC000_0000])
def test_an_access_in_a_physical_view_reaches_ram(view: int) -> None:
    lab = Lab()
    lab.memory.write(DATA, b"\xff" * 64)
    assert lab.run(DCBZ, r3=view + DATA).kind is TrapKind.SYSTEM_CALL
    assert lab.memory.read(DATA, 64) == bytes(32) + b"\xff" * 32
    assert lab.cpu.read_gpr(3) == view + DATA


TINY, SMALLEST, ONE = 0x0040_0000, 0x0080_0000, 0x3F80_0000
LVX_V1, MTVSCR_V1 = 0x7C20_18CE, 0x1000_0E44  # at r3
SET_R4 = (0x3880_0010, 0x38A0_0020, 0x38C0_0030)  # li r4, 16; li r5, 32; li r6, 48
LVX_V2_V3 = (0x7C43_20CE, 0x7C63_28CE)  # at r3 + r4, r3 + r5
STVX_V4 = 0x7C83_31CE  # at r3 + r6
IN_BOTH_MODES = {
    "vaddfp": (0x1082_180A, TINY, TINY, 2 * TINY, 0),
    "vaddfp128": (0x1482_1810, TINY, TINY, 2 * TINY, 0),
    "vmulfp128": (0x1482_1890, SMALLEST, 0x3F00_0000, TINY, 0),
    "vmaxfp128": (0x1882_1A80, TINY, 0, TINY, 0),
}


@pytest.mark.parametrize("name", IN_BOTH_MODES)
def test_the_mode_changes_while_a_program_runs(name: str) -> None:
    word, a, b, kept, flushed = IN_BOTH_MODES[name]
    lab = Lab()
    lab.memory.write(DATA + 16, struct.pack(">8I", *[a] * 4, *[b] * 4))
    for non_java, expected in ((1, flushed), (0, kept), (1, flushed)):
        lab.memory.write(DATA, struct.pack(">4I", 0, 0, 0, non_java << 16))
        trap = lab.run(LVX_V1, MTVSCR_V1, *SET_R4, *LVX_V2_V3, word, STVX_V4, r3=DATA)
        assert trap.kind is TrapKind.SYSTEM_CALL
        assert struct.unpack(">4I", lab.memory.read(DATA + 48, 16)) == (expected,) * 4


LWARX, STWCX, LDARX, MFCR_R6 = 0x7CA0_1828, 0x7CA0_192D, 0x7CA0_18A8, 0x7CC0_0026  # r5 at r3


def test_a_reservation_is_kept_and_lost() -> None:
    lab = Lab(shares_memory=True)
    lab.memory.write(DATA, struct.pack(">2I", 7, 8))
    assert lab.run(LWARX, 0x38A5_0001, STWCX, MFCR_R6, r3=DATA).kind is TrapKind.SYSTEM_CALL  # addi r5, r5, 1
    assert struct.unpack(">2I", lab.memory.read(DATA, 8)) == (8, 8)
    assert lab.cpu.read_gpr(6) >> 28 == 2
    assert lab.run(0x38A0_0063, STWCX, MFCR_R6, r3=DATA).kind is TrapKind.SYSTEM_CALL  # li r5, 99
    assert lab.memory.read(DATA, 4) == bytes((0, 0, 0, 8))
    assert lab.cpu.read_gpr(6) >> 28 == 0


@pytest.mark.parametrize(("word", "offset"), [(LWARX, 2), (STWCX, 1), (LDARX, 4)])
def test_a_reservation_that_is_not_aligned_is_a_trap(word: int, offset: int) -> None:
    trap = Lab(shares_memory=True).run(word, r3=DATA + offset)
    assert (trap.kind, trap.pc) == (TrapKind.MISALIGNED, CODE)


def test_a_reservation_faults_where_its_page_allows_no_store() -> None:
    lab = Lab(Protection.READ, shares_memory=True)
    trap = lab.run(LWARX, STWCX, r3=DATA + 4)
    assert (trap.kind, trap.pc, trap.address) == (TrapKind.BAD_ADDRESS, CODE + 4, DATA + 4)

"""The targets of jump tables, by the shapes that compilers give them; parts of long functions."""

from __future__ import annotations

import struct

import pytest

from xenon.lifter.flow import End, Flow, NotUnderstood, explore
from xenon.lifter.jump_tables import Surroundings, explore_function
from xenon.lifter.parts import part_of

CODE, TABLE = 0x1000_0000, 0x1002_0000
TOC = 0x1002_8000
CASES = 0x40  # bytes from the function's start to the first of its cases
BLR, BCTR, MTCTR_R9, NOP = 0x4E80_0020, 0x4E80_0420, 0x7D29_03A6, 0x6000_0000
BL = 0x4800_1001  # to 4096 bytes behind
CMPLWI_R4_3, BGT_TO_30 = 0x2804_0003, 0x4181_0000
SLDI_R9_R4_2, SLDI_R9_R4_3 = 0x7889_1764, 0x7889_1F24
LWAX_R9_R10_R9, LWZX_R9_R10_R9, LDX_R9_R10_R9 = 0x7D2A_4AAA, 0x7D2A_482E, 0x7D2A_482A
EXTSW_R9, ADD_R9_R9_R10 = 0x7D29_07B4, 0x7D29_5214
LD_R10_TOC = 0xE942_0100  # ld r10, 256(r2)
STD_R10_R1, LD_R10_R1 = 0xF941_0060, 0xE941_0060  # at 96(r1)


def at_table(register: int = 10) -> list[int]:
    """addis, addi: the register is TABLE."""
    distance = TABLE - TOC
    low = distance & 0xFFFF
    high = distance - (low - 0x1_0000 if low & 0x8000 else low) >> 16 & 0xFFFF
    return [0x3C02_0000 | register << 21 | high, 0x3800_0000 | register << 21 | register << 16 | low]


def program(words: list[int], table: bytes) -> tuple[dict[int, int], Surroundings]:
    """A function that begins with these words, and has four cases of two instructions each."""
    code = dict(enumerate(words))
    code = {CODE + 4 * index: word for index, word in code.items()}
    code[CODE + 0x30] = BLR
    for case in range(4):
        code[CODE + CASES + 8 * case] = 0x3860_0000 | case  # li r3, case
        code[CODE + CASES + 8 * case + 4] = BLR
    memory = {TABLE: table, TOC + 0x100: struct.pack(">Q", TABLE)}

    def read(address: int, size: int) -> bytes | None:
        for start, data in memory.items():
            if start <= address and address + size <= start + len(data):
                return data[address - start : address - start + size]
        return None

    return code, Surroundings(read, lambda _: (CODE, CODE + CASES + 32), TOC)


def targets(words: list[int], table: bytes) -> list[int]:
    code, around = program(words, table)
    flow = explore_function(code.get, (CODE,), (), around)
    return [to - CODE for block in flow.blocks.values() if block.end is End.SWITCH for to in block.successors]


FROM_TABLE = struct.pack(">4i", *(CODE + CASES + 8 * case - TABLE for case in range(4)))
ABSOLUTE = struct.pack(">4Q", *(CODE + CASES + 8 * case for case in range(4)))
ALL = [CASES, CASES + 8, CASES + 16, CASES + 24]
BOUND = [CMPLWI_R4_3, BGT_TO_30 | 0x2C]
JUMP = [MTCTR_R9, BCTR]


@pytest.mark.parametrize(
    ("words", "table"),
    [
        ([*BOUND, *at_table(), SLDI_R9_R4_2, LWAX_R9_R10_R9, ADD_R9_R9_R10, *JUMP], FROM_TABLE),
        ([*BOUND, *at_table(), SLDI_R9_R4_2, LWZX_R9_R10_R9, EXTSW_R9, ADD_R9_R9_R10, *JUMP], FROM_TABLE),
        ([*at_table(), *BOUND, SLDI_R9_R4_3, LDX_R9_R10_R9, *JUMP, 0, 0], ABSOLUTE),
        ([*BOUND, LD_R10_TOC, SLDI_R9_R4_3, LDX_R9_R10_R9, *JUMP], ABSOLUTE),
        ([*at_table(), STD_R10_R1, *BOUND, LD_R10_R1, SLDI_R9_R4_3, LDX_R9_R10_R9, *JUMP], ABSOLUTE),
    ],
    ids=["lwax", "lwzx-extsw", "before-the-comparison", "from-the-toc", "kept-on-the-stack"],
)
def test_the_targets_of_a_bounded_table_are_found(words: list[int], table: bytes) -> None:
    where = words.index(BOUND[1])
    words = [*words]
    words[where] = BGT_TO_30 | 0x30 - 4 * where
    assert targets(words, table + b"\xff" * 64) == ALL


def test_an_unbounded_table_ends_where_an_entry_leaves_the_function() -> None:
    words = [*at_table(), SLDI_R9_R4_3, LDX_R9_R10_R9, *JUMP]
    assert targets(words, ABSOLUTE + struct.pack(">Q", CODE + 0x1000)) == ALL


@pytest.mark.parametrize("table", [b"", b"\xff" * 32, struct.pack(">4Q", 1, 2, 3, 4)])
def test_a_table_that_is_none_gives_no_targets(table: bytes) -> None:
    words = [*BOUND, *at_table(), SLDI_R9_R4_3, LDX_R9_R10_R9, *JUMP]
    words[1] = BGT_TO_30 | 0x2C
    assert targets(words, table) == []


def test_a_target_that_is_not_understood_leaves_the_tables_out() -> None:
    code, around = program([*at_table(), SLDI_R9_R4_3, LDX_R9_R10_R9, *JUMP], ABSOLUTE)
    code[CODE + CASES + 8] = 0x4D82_0421  # beqctrl
    flow = explore_function(code.get, (CODE,), (), around)
    assert [block.end for block in flow.blocks.values()] == [End.JUMP_CTR]


def test_an_instruction_that_xenon_lacks_is_left_where_it_stands() -> None:
    code, around = program([*at_table(), SLDI_R9_R4_3, LDX_R9_R10_R9, *JUMP], ABSOLUTE)
    code[CODE + CASES + 8] = 0x7C00_00F4 | 3 << 21  # popcntb
    flow = explore_function(code.get, (CODE,), (), around)
    assert flow.blocks[CODE].end is End.SWITCH
    assert flow.blocks[CODE + CASES + 8].end is End.LEAVE
    obstacles: list[NotUnderstood] = []
    explore_function(code.get, (CODE,), (), around, obstacles)
    assert [obstacle.mnemonic for obstacle in obstacles] == ["popcntb"]


def chain(blocks: int, length: int) -> Flow:
    """Blocks that end with a conditional branch to the first, and then a return."""
    words = []
    for _ in range(blocks):
        words += [NOP] * (length - 1)
        words.append(0x4182_0000 | -4 * len(words) & 0xFFFC)
    words.append(BLR)
    return explore({CODE + 4 * index: word for index, word in enumerate(words)}.get, (CODE,))


def test_the_parts_of_a_function_hold_each_instruction_once_and_meet() -> None:
    flow = chain(30, 100)
    waiting, parts = [CODE], {}
    while waiting:
        part = part_of(flow, waiting.pop())
        if part.words[0] not in parts:
            parts[part.words[0]] = part
            waiting += part.beyond
    assert sorted(word for part in parts.values() for word in part.words) == flow.words
    assert len(parts) > 2
    for part in parts.values():
        for to in part.beyond:
            assert any(to in other.entry_points for other in parts.values())


def test_where_the_last_call_of_a_part_returns_to_is_entered_in_the_next_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xenon.lifter.parts._PART", 10)
    words = [*[NOP] * 9, BL, *[NOP] * 9, BLR]
    flow = explore({CODE + 4 * index: word for index, word in enumerate(words)}.get, (CODE,))
    first, second = part_of(flow, CODE), part_of(flow, CODE + 40)
    assert first.resumes == [CODE + 40]
    assert first.beyond == {CODE + 40}
    assert first.entry_points == [CODE]
    assert second.entry_points == [CODE + 40]

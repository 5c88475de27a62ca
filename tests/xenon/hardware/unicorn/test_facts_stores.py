"""What the console relies on where Unicorn 2.1.4 refuses a store, and where one meets a translation."""

from __future__ import annotations

import pytest
import unicorn
from bare_engine import (
    ADDI_R3_R3_1,
    CODE,
    DATA,
    LI_R3_1,
    LI_R3_2,
    NOP,
    PAGE,
    SC,
    STD_R3_R4,
    STVX_V1_R4,
    STW_R3_R4,
    Engine,
)
from unicorn import UC_PROT_ALL, UC_PROT_READ, UC_PROT_WRITE
from unicorn import ppc_const as ppc
from unicorn.unicorn_py3.unicorn import Uc

STWU_R3_8_R4, STMW_R28_R4, DCBZ_R4 = 0x94640008, 0xBF840000, 0x7C0027EC
LWARX_R3_R4, STWCX_R3_R4, BCTR_R4 = 0x7C602028, 0x7C60212D, (0x7C8903A6, 0x4E800420)


def take_write_away(engine: Engine) -> None:
    """The data page, which was mapped as writable, is read-only from now on."""
    engine.uc.mem_protect(DATA, PAGE, UC_PROT_READ)


@pytest.mark.parametrize("word", [STW_R3_R4, STWU_R3_8_R4, STVX_V1_R4, STD_R3_R4])
def test_a_refused_store_has_done_nothing_and_can_be_made_again(engine: Engine, word: int) -> None:
    take_write_away(engine)
    assert engine.run(ADDI_R3_R3_1, word, SC) == CODE + 4
    assert engine.uc.reg_read(ppc.UC_PPC_REG_4) == DATA
    engine.uc.mem_protect(DATA, PAGE, UC_PROT_READ | UC_PROT_WRITE)
    assert engine.run(pc=CODE + 4) == CODE + 12
    assert engine.vector == 8


def test_a_refused_conditional_store_keeps_its_reservation(engine: Engine) -> None:
    take_write_away(engine)
    assert engine.run(LWARX_R3_R4, ADDI_R3_R3_1, STWCX_R3_R4, SC) == CODE + 8
    engine.uc.mem_protect(DATA, PAGE, UC_PROT_READ | UC_PROT_WRITE)
    engine.run(pc=CODE + 8)
    assert engine.uc.reg_read(ppc.UC_PPC_REG_CR) & 0x2000_0000
    assert engine.ram[DATA : DATA + 4] == b"\0\0\0\1"


@pytest.mark.parametrize(("word", "pieces"), [(STMW_R28_R4, 4), (DCBZ_R4, 16), (0x7C00218E, 1)])
def test_some_refused_stores_are_left_out_and_the_block_goes_on(
    engine: Engine, word: int, pieces: int
) -> None:
    take_write_away(engine)
    engine.ram[DATA : DATA + 128] = b"\xff" * 128
    accesses: list[tuple[int, int]] = []

    def refuse(uc: Uc, _kind: int, _address: int, size: int, value: int, _: object) -> bool:
        accesses.append((uc.reg_read(ppc.UC_PPC_REG_PC), value & (1 << 8 * size) - 1))
        return False

    engine.uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, refuse)
    for number in range(28, 32):
        engine.uc.reg_write(ppc.UC_PPC_REG_0 + number, number)
    assert engine.run(NOP, word, NOP, SC) == CODE + 16  # behind all of them
    assert engine.vector == 8
    assert [pc for pc, _ in accesses] == [CODE + 4] * pieces  # a hook is told where
    if word == STMW_R28_R4:
        assert [value for _, value in accesses] == [28, 29, 30, 31]
    assert engine.ram[DATA : DATA + 128] == b"\xff" * 128


def test_what_is_mapped_without_write_from_the_start_is_written_by_stmw_all_the_same(engine: Engine) -> None:
    engine.map(0x30000, PAGE, UC_PROT_READ)
    engine.uc.reg_write(ppc.UC_PPC_REG_4, 0x30000)
    engine.uc.reg_write(ppc.UC_PPC_REG_0 + 31, 0x1234)
    engine.run(0xBFE40000, SC)  # stmw r31,0(r4)
    assert engine.bad is None
    assert engine.ram[0x30000:0x30004] == b"\0\0\x12\x34"


def test_a_right_given_in_the_hook_loses_the_store(engine: Engine) -> None:
    def give(uc: Uc, *_: object) -> bool:
        uc.mem_protect(DATA, PAGE, UC_PROT_READ | UC_PROT_WRITE)
        uc.ctl_remove_cache(DATA, DATA + PAGE)
        return True

    engine.uc.mem_unmap(DATA, 2 * PAGE)
    engine.map(DATA, PAGE, UC_PROT_ALL)
    take_write_away(engine)
    engine.uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, give)
    engine.run(LI_R3_2, STW_R3_R4, SC)
    assert engine.vector == 8
    assert engine.ram[DATA : DATA + 4] == bytes(4)


def test_a_refused_jump_leaves_pc_at_its_target(engine: Engine) -> None:
    assert engine.run(*BCTR_R4) == DATA
    assert engine.bad is not None
    assert engine.bad[0] == unicorn.UC_MEM_FETCH_PROT


@pytest.mark.parametrize("word", [STW_R3_R4, STVX_V1_R4, STMW_R28_R4, DCBZ_R4])
def test_a_store_over_a_translation_is_noticed_at_the_same_address_only(engine: Engine, word: int) -> None:
    code, view = 0x40000, 0x8000_0000
    engine.map(code, PAGE, UC_PROT_ALL)
    engine.map(view + code, PAGE, UC_PROT_ALL, at=code)
    for address, noticed in ((code, True), (view + code, False)):
        engine.put(code, ADDI_R3_R3_1, SC)
        engine.uc.ctl_remove_cache(code, code + 8)
        engine.run(pc=code)
        engine.uc.reg_write(ppc.UC_PPC_REG_4, address)
        engine.run(word, SC)
        engine.put(code, LI_R3_2, SC)  # after the store has or has not dropped what was translated
        engine.uc.reg_write(ppc.UC_PPC_REG_3, 5)
        engine.run(pc=code)
        assert engine.r3() == (2 if noticed else 6)


def test_one_call_removes_the_translations_of_one_piece_only(engine: Engine) -> None:
    low, high = 0x40000, 0x41000
    engine.map(high, PAGE, UC_PROT_ALL)
    engine.map(low, PAGE, UC_PROT_ALL)
    for address in (low, high):
        engine.run(LI_R3_1, SC, pc=address)
        engine.put(address, LI_R3_2)
    engine.uc.ctl_remove_cache(low, high + PAGE)
    results = []
    for address in (low, high):
        engine.run(pc=address)
        results.append(engine.r3())
    assert results == [2, 1]

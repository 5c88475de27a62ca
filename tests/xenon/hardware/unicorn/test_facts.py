"""What the console relies on in Unicorn 2.1.4: a release that behaves differently fails here first."""

from __future__ import annotations

import struct

import pytest
import unicorn
from bare_engine import (
    ADDI_R3_R3_1,
    CODE,
    DATA,
    FADD,
    FLOAT,
    LD_R3_R4,
    LI_R3_1,
    LI_R3_2,
    LWZ_R3_R3,
    LWZ_R3_R4,
    LXVD2X,
    NEVER,
    NOP,
    PAGE,
    RAM,
    SC,
    SIXTY_FOUR_BIT,
    STD_R3_R4,
    STW_R3_R4,
    TRAP,
    VADDFP_V1_V2_V2,
    VECTOR,
    Engine,
    stopped_often,
)
from unicorn import UC_PROT_ALL, UC_PROT_READ, UC_PROT_WRITE
from unicorn import ppc_const as ppc


def test_the_version_is_the_pinned_one() -> None:
    assert unicorn.__version__ == "2.1.4"


def test_every_named_cpu_model_is_a_32_bit_core() -> None:
    engine = Engine(model=ppc.UC_CPU_PPC64_970_V2_2)
    engine.run(LD_R3_R4, SC)
    assert engine.vector not in (0, 8)


def test_without_the_virtual_tlb_nothing_can_be_fetched() -> None:
    engine = Engine(tlb=False)
    engine.run(NOP, SC)
    assert engine.vector == 70


def test_the_default_model_runs_64_bit_loads_big_endian(engine: Engine) -> None:
    engine.ram[DATA : DATA + 8] = bytes.fromhex("0102030405060708")
    engine.run(LD_R3_R4, SC)
    assert engine.vector == 8
    assert engine.r3() == 0x0102030405060708


@pytest.mark.parametrize(("bit", "word"), [(FLOAT, FADD), (VECTOR, VADDFP_V1_V2_V2)])
def test_float_and_vector_instructions_need_their_msr_bit(bit: int, word: int) -> None:
    without = Engine(msr=SIXTY_FOUR_BIT | ((FLOAT | VECTOR) & ~bit))
    without.run(word, SC)
    assert without.vector not in (0, 8)
    with_bit = Engine()
    with_bit.run(word, SC)
    assert with_bit.vector == 8


def test_vsx_traps_where_its_msr_bit_is_clear(engine: Engine) -> None:
    assert engine.run(LXVD2X, SC) == CODE + 4  # past the instruction
    assert engine.vector == 94


def test_sixty_four_bit_mode_decides_whether_addresses_are_cut() -> None:
    wide = Engine()
    wide.run(0x3C608000, LWZ_R3_R3, SC)  # lis r3,0x8000
    assert wide.bad is not None
    assert wide.bad[1] & NEVER == 0xFFFF_FFFF_8000_0000
    narrow = Engine(msr=VECTOR | FLOAT)
    narrow.run(0x3C608000, LWZ_R3_R3, SC)
    assert narrow.bad is not None
    assert narrow.bad[1] & NEVER == 0x8000_0000


def test_one_buffer_mapped_twice_stays_coherent(engine: Engine) -> None:
    engine.map(0x8000_0000, PAGE, UC_PROT_ALL, at=DATA)
    engine.uc.reg_write(ppc.UC_PPC_REG_4, 0x8000_0000)
    engine.run(LI_R3_1, STW_R3_R4, SC)
    assert engine.ram[DATA : DATA + 4] == b"\0\0\0\1"
    engine.ram[DATA : DATA + 4] = b"\0\0\0\5"
    engine.run(LWZ_R3_R4, SC)
    assert engine.r3() == 5


def test_two_engines_share_one_buffer() -> None:
    first, second = Engine(), Engine()
    second.uc.mem_unmap(DATA, 2 * PAGE)
    second.uc.mem_map_ptr(DATA, 2 * PAGE, UC_PROT_READ | UC_PROT_WRITE, first.host + DATA)
    first.run(LI_R3_2, STD_R3_R4, SC)
    second.run(LD_R3_R4, SC)
    assert second.r3() == 2


def test_a_system_call_is_exception_8_with_pc_behind_it(engine: Engine) -> None:
    assert engine.run(NOP, SC, NOP) == CODE + 8
    assert engine.vector == 8


@pytest.mark.parametrize(
    ("word", "vector"),
    [(0x00000000, 96), (0x7C00240E, 96), (TRAP, 6), (0x7C602028, 5)],
    ids=["no instruction", "lvlx", "trap", "lwarx misaligned"],
)
def test_a_refused_instruction_leaves_pc_behind_it(engine: Engine, word: int, vector: int) -> None:
    engine.uc.reg_write(ppc.UC_PPC_REG_4, DATA + 2)
    assert engine.run(NOP, word, NOP) == CODE + 8
    assert engine.vector == vector


@pytest.mark.parametrize("before", range(5))
def test_a_bad_access_leaves_pc_at_the_instruction(engine: Engine, before: int) -> None:
    engine.uc.reg_write(ppc.UC_PPC_REG_3, DATA)
    engine.uc.reg_write(ppc.UC_PPC_REG_4, 0x80000)
    assert engine.run(*[0x80A30000] * before, LWZ_R3_R4, LWZ_R3_R4, SC) == CODE + 4 * before  # lwz r5,0(r3)
    assert engine.bad == (unicorn.UC_MEM_READ_UNMAPPED, 0x80000, 4)


def test_an_access_half_outside_names_the_first_page_that_is_not_there(engine: Engine) -> None:
    engine.uc.reg_write(ppc.UC_PPC_REG_4, DATA + 2 * PAGE - 4)
    engine.run(LD_R3_R4, SC)
    assert engine.bad == (unicorn.UC_MEM_READ_UNMAPPED, DATA + 2 * PAGE, 8)


@pytest.mark.parametrize(
    ("address", "words", "kind"),
    [
        (CODE, (STW_R3_R4, SC), unicorn.UC_MEM_WRITE_PROT),
        (0x80000, (STW_R3_R4, SC), unicorn.UC_MEM_WRITE_UNMAPPED),
        (DATA, (0x7C8903A6, 0x4E800420), unicorn.UC_MEM_FETCH_PROT),  # mtctr r4; bctr
        (0x80000, (0x7C8903A6, 0x4E800420), unicorn.UC_MEM_FETCH_UNMAPPED),
    ],
)
def test_protection_is_enforced(engine: Engine, address: int, words: tuple[int, ...], kind: int) -> None:
    engine.uc.reg_write(ppc.UC_PPC_REG_4, address)
    engine.run(*words)
    assert engine.bad is not None
    assert engine.bad[:2] == (kind, address)


def test_unmapping_a_part_keeps_the_rest_on_the_same_buffer(engine: Engine) -> None:
    engine.uc.mem_unmap(DATA, PAGE)
    engine.ram[DATA + PAGE : DATA + PAGE + 4] = b"\0\0\0\7"
    engine.uc.reg_write(ppc.UC_PPC_REG_4, DATA + PAGE)
    engine.run(LWZ_R3_R4, SC)
    assert engine.r3() == 7
    engine.uc.reg_write(ppc.UC_PPC_REG_4, DATA)
    engine.run(LWZ_R3_R4, SC)
    assert engine.bad is not None


def test_code_that_changes_under_the_engine_needs_its_cache_removed(engine: Engine) -> None:
    engine.run(LI_R3_1, SC)
    engine.put(CODE, LI_R3_2)
    engine.run()
    assert engine.r3() == 1
    engine.uc.ctl_remove_cache(CODE, CODE + 4)
    engine.run()
    assert engine.r3() == 2


def test_code_that_may_no_longer_run_needs_its_cache_removed(engine: Engine) -> None:
    engine.run(LI_R3_1, SC)
    engine.uc.mem_protect(CODE, PAGE, UC_PROT_READ)
    engine.run()
    assert engine.vector == 8
    engine.uc.ctl_remove_cache(CODE, CODE + PAGE)
    engine.run()
    assert engine.bad is not None
    assert engine.bad[0] == unicorn.UC_MEM_FETCH_PROT


def test_a_late_hook_needs_the_translations_flushed(engine: Engine) -> None:
    blocks = []
    engine.run(NOP, SC)
    engine.uc.hook_add(unicorn.UC_HOOK_BLOCK, lambda _uc, address, size, _: blocks.append((address, size)))
    engine.run()
    assert blocks == []
    engine.uc.ctl_flush_tb()
    engine.run()
    assert blocks == [(CODE, 8)]


def test_a_stop_before_the_start_is_forgotten(engine: Engine) -> None:
    engine.uc.emu_stop()
    engine.run(LI_R3_1, SC)
    assert engine.vector == 8


@pytest.mark.parametrize("words", [(0x48000000,), (NOP, 0x4BFFFFFC), (ADDI_R3_R3_1, 0x4BFFFFFC)])
def test_another_thread_stops_an_endless_loop(engine: Engine, words: tuple[int, ...]) -> None:
    with stopped_often(engine):
        assert CODE <= engine.run(*words) < CODE + 8


def test_a_run_that_another_thread_stops_may_have_executed_the_load_it_stops_at(engine: Engine) -> None:
    # A ring of pages, each with the address of the next, so many that loads miss the TLB. r4 counts steps.
    first, pages, copies = 0x1000_0000, RAM // PAGE, 16
    for copy in range(copies):
        engine.map(first + copy * RAM, RAM, UC_PROT_READ | UC_PROT_WRITE, at=0)
    ring = [first + (7 * page % copies) * RAM + page * PAGE for page in range(pages)]
    for page, successor in zip(range(pages), ring[1:] + ring[:1], strict=True):
        struct.pack_into(">I", engine.ram, page * PAGE + 0x800, successor)
    chase = (0x3884_0001, 0x8063_0800, 0x4BFF_FFF8)  # addi r4, r4, 1; lwz r3, 0x800(r3); b .-8
    engine.put(CODE, *chase)
    engine.uc.reg_write(ppc.UC_PPC_REG_3, ring[0])
    engine.uc.reg_write(ppc.UC_PPC_REG_4, 0)
    pc, executed_twice = CODE, False
    with stopped_often(engine):
        for _ in range(400):
            pc = engine.run(pc=pc)
            steps = engine.uc.reg_read(ppc.UC_PPC_REG_4) - (pc == CODE + 4)
            if executed_twice := engine.r3() != ring[steps % pages]:
                break
    assert executed_twice


def test_an_end_that_no_program_counter_reaches_never_ends_a_run(engine: Engine) -> None:
    engine.uc.reg_write(ppc.UC_PPC_REG_4, NEVER)
    engine.run(0x7C8903A6, 0x4E800420)
    assert engine.bad is not None


def test_a_batch_moves_registers_through_prepared_arrays(engine: Engine) -> None:
    engine.uc.reg_write_batch([(ppc.UC_PPC_REG_5, 5), (ppc.UC_PPC_REG_CR, 0x10000000)])
    assert tuple(engine.uc.reg_read_batch([ppc.UC_PPC_REG_5, ppc.UC_PPC_REG_CR])) == (5, 0x10000000)


def test_an_exception_in_a_hook_does_not_get_lost_in_this_binding(engine: Engine) -> None:
    def fail(*_: object) -> None:
        raise ValueError("from a hook")

    engine.uc.hook_add(unicorn.UC_HOOK_BLOCK, fail)
    with pytest.raises(ValueError, match="from a hook"):
        engine.run(NOP, SC)

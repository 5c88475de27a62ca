"""What the console relies on in Unicorn 2.1.4: a release that behaves differently fails here first."""

from __future__ import annotations

import ctypes
import mmap
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import unicorn
from unicorn import UC_PROT_ALL, UC_PROT_EXEC, UC_PROT_READ, UC_PROT_WRITE
from unicorn import ppc_const as ppc
from unicorn.unicorn_py3.unicorn import Uc, UcError

CODE, DATA = 0x10000, 0x20000
PAGE = 0x1000
RAM = 0x100000
NEVER = 0xFFFF_FFFF_FFFF_FFFF
SIXTY_FOUR_BIT, VECTOR, FLOAT = 1 << 63, 1 << 25, 1 << 13

SC, NOP, TRAP = 0x44000002, 0x60000000, 0x7FE00008
LI_R3_1, LI_R3_2, ADDI_R3_R3_1 = 0x38600001, 0x38600002, 0x38630001
LD_R3_R4, STD_R3_R4, LWZ_R3_R4, STW_R3_R4, LWZ_R3_R3 = (
    0xE8640000,
    0xF8640000,
    0x80640000,
    0x90640000,
    0x80630000,
)
FADD, VADDFP_V1_V2_V2, LVX_V2_R4, STVX_V1_R4, STVX_V0_R4 = (
    0xFC21082A,
    0x1022100A,
    0x7C4020CE,
    0x7C2021CE,
    0x7C0021CE,
)
MFVSCR_V0, LXVD2X = 0x10000604, 0x7C002698


class Engine:
    """An engine as the console sets it up, unless told otherwise; r4 points to the data page."""

    def __init__(
        self, msr: int = SIXTY_FOUR_BIT | VECTOR | FLOAT, tlb: bool = True, model: int | None = None
    ) -> None:
        self.ram = mmap.mmap(-1, RAM, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.host = ctypes.addressof(ctypes.c_char.from_buffer(self.ram))
        self.uc = Uc(unicorn.UC_ARCH_PPC, unicorn.UC_MODE_PPC64 | unicorn.UC_MODE_BIG_ENDIAN)
        if model is not None:
            self.uc.ctl_set_cpu_model(model)
        if tlb:
            self.uc.ctl_set_tlb_mode(unicorn.UC_TLB_VIRTUAL)
        self.uc.reg_write(ppc.UC_PPC_REG_MSR, msr)
        self.map(CODE, PAGE, UC_PROT_READ | UC_PROT_EXEC)
        self.map(DATA, 2 * PAGE, UC_PROT_READ | UC_PROT_WRITE)
        self.uc.reg_write(ppc.UC_PPC_REG_4, DATA)
        self.vector = 0
        self.bad: tuple[int, int, int] | None = None
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self._interrupt)
        self.uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._invalid)

    def map(self, address: int, size: int, protection: int, at: int | None = None) -> None:
        self.uc.mem_map_ptr(address, size, protection, self.host + (address if at is None else at))

    def put(self, address: int, *words: int) -> None:
        self.ram[address : address + 4 * len(words)] = struct.pack(f">{len(words)}I", *words)

    def run(self, *words: int, pc: int = CODE) -> int:
        """Run these words (or what is there) until a trap; returns PC."""
        if words:
            self.put(pc, *words)
            self.uc.ctl_remove_cache(pc, pc + 4 * len(words))
        self.vector, self.bad = 0, None
        try:
            self.uc.emu_start(pc, NEVER)
        except UcError:
            if self.bad is None:
                raise
        return int(self.uc.reg_read(ppc.UC_PPC_REG_PC))

    def r3(self) -> int:
        return int(self.uc.reg_read(ppc.UC_PPC_REG_3))

    def vector_words(self, *words: int) -> tuple[int, ...]:
        """What v1 or v0 holds after these words, the last of which stores it to the data page."""
        self.run(*words, SC)
        return struct.unpack(">4I", self.ram[DATA : DATA + 16])

    def _interrupt(self, uc: Uc, vector: int, _: object) -> None:
        self.vector = vector
        uc.emu_stop()

    def _invalid(self, _uc: Uc, kind: int, address: int, size: int, _value: int, _: object) -> bool:
        self.bad = (kind, address, size)
        return False


@contextmanager
def stopped_often(engine: Engine) -> Iterator[None]:
    """Another thread stops the engine every 2 ms: a single stop may come before the run, and be forgotten."""
    over = threading.Event()

    def stop() -> None:
        while not over.wait(0.002):
            engine.uc.emu_stop()

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def engine() -> Engine:
    return Engine()


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
            executed_twice |= engine.r3() != ring[steps % pages]
    assert executed_twice


def test_an_end_that_no_program_counter_reaches_never_ends_a_run(engine: Engine) -> None:
    engine.uc.reg_write(ppc.UC_PPC_REG_4, NEVER)
    engine.run(0x7C8903A6, 0x4E800420)
    assert engine.bad is not None


def test_a_batch_moves_registers_through_prepared_arrays(engine: Engine) -> None:
    engine.uc.reg_write_batch([(ppc.UC_PPC_REG_5, 5), (ppc.UC_PPC_REG_CR, 0x10000000)])
    assert tuple(engine.uc.reg_read_batch([ppc.UC_PPC_REG_5, ppc.UC_PPC_REG_CR])) == (5, 0x10000000)


def test_xer_is_complete_only_through_an_instruction(engine: Engine) -> None:
    engine.uc.reg_write(ppc.UC_PPC_REG_3, 1)
    engine.run(0x3063FFFF, 0x7C6102A6, SC)  # addic r3,r3,-1 carries; mfxer r3
    assert engine.r3() & 0x2000_0000
    assert not engine.uc.reg_read(ppc.UC_PPC_REG_XER) & 0x2000_0000


@pytest.mark.parametrize("word", [0x7C64289E, 0x7C8303F4, 0x10011089], ids=["isel", "popcntd", "vmuluwm"])
def test_instructions_that_xenon_lacks_run_all_the_same(engine: Engine, word: int) -> None:
    engine.run(word, SC)
    assert engine.vector == 8


def test_the_time_base_stands_still(engine: Engine) -> None:
    engine.run(0x7C6C42A6, SC)  # mftb r3
    assert engine.r3() == 0


def test_dcbz_clears_128_bytes(engine: Engine) -> None:
    engine.ram[DATA : DATA + 256] = b"\xff" * 256
    engine.run(0x7C0027EC, SC)  # dcbz 0,r4
    assert engine.ram[DATA : DATA + 256] == bytes(128) + b"\xff" * 128


def test_float_to_integer_overflow_is_not_saturated(engine: Engine) -> None:
    engine.ram[DATA : DATA + 8] = struct.pack(">d", 1e20)
    engine.run(0xC8240000, 0xFC20081E, 0xD8240000, SC)  # lfd f1; fctiwz f1,f1; stfd f1
    assert engine.ram[DATA + 4 : DATA + 8] == b"\x80\0\0\0"


SET_VSCR = (0x10000644,)  # mtvscr v0
NJ_OFF = (0x1000038C, *SET_VSCR)  # vspltisw v0,0
NJ_ON = (
    0x1001034C,
    0x1021038C,
    0x10000C44,
    *SET_VSCR,
)  # vspltish v0,1; vspltisw v1,1; vandc v0,v0,v1: 0x10000


@pytest.mark.parametrize(
    ("before", "expected"),
    [(NJ_OFF, (2, 0x00800000, 0x40000000, 0x80000002)), (NJ_ON, (0, 0x00800000, 0x40000000, 0x80000000))],
    ids=["NJ off", "NJ on"],
)
def test_nj_flushes_denormal_results_but_not_denormal_operands(
    engine: Engine, before: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    engine.ram[DATA : DATA + 16] = struct.pack(">4I", 0x00000001, 0x00400000, 0x3F800000, 0x80000001)
    assert engine.vector_words(*before, LVX_V2_R4, VADDFP_V1_V2_V2, STVX_V1_R4) == expected


def test_vscr_is_reached_only_through_instructions(engine: Engine) -> None:
    assert not any(name.startswith(("UC_PPC_REG_VR", "UC_PPC_REG_VSCR")) for name in dir(ppc))
    assert engine.vector_words(*NJ_OFF, MFVSCR_V0, STVX_V0_R4) == (0, 0, 0, 0)
    assert engine.vector_words(*NJ_ON, MFVSCR_V0, STVX_V0_R4) == (0, 0, 0, 0x10000)


def test_an_exception_in_a_hook_does_not_get_lost_in_this_binding(engine: Engine) -> None:
    def fail(*_: object) -> None:
        raise ValueError("from a hook")

    engine.uc.hook_add(unicorn.UC_HOOK_BLOCK, fail)
    with pytest.raises(ValueError, match="from a hook"):
        engine.run(NOP, SC)


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

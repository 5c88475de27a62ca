"""The CPU as the kernel uses it."""

from __future__ import annotations

import ctypes
import itertools
import struct
import threading
import time

import pytest

from xenon.errors import XenonError
from xenon.hardware.cpu import Access, Protection, TrapKind
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.hardware.unicorn.stop_hook import stop_hook
from xenon.powerpc.isa import table
from xenon.powerpc.system import traps

CODE, DATA = 0x10000, 0x20000
SC, SPIN, NOP = 0x44000002, 0x48000000, 0x60000000


class Machine:
    def __init__(self, resting: ctypes.c_uint32 | None = None) -> None:
        self.memory = UnifiedMemory()
        self.pages = Pages(self.memory)
        self.cpu = UnicornCpu(self.pages, resting=resting)
        self.pages.map(CODE, PAGE_BYTES, Protection.READ | Protection.EXECUTE)
        self.pages.map(DATA, PAGE_BYTES, Protection.READ | Protection.WRITE)

    def code(self, *words: int) -> None:
        self.memory.write(CODE, struct.pack(f">{len(words)}I", *words))
        self.pages.written(CODE, 4 * len(words))


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_call_hands_over_its_arguments_and_takes_its_answer(machine: Machine) -> None:
    machine.code(SC, 0x7CA00026, SC)  # mfcr r5
    for register in (0, *range(3, 9)):
        machine.cpu.write_gpr(register, register + (1 << 63))
    trap = machine.cpu.run(CODE)
    assert (trap.kind, trap.pc) == (TrapKind.SYSTEM_CALL, CODE + 4)
    assert (trap.gpr[0], trap.gpr[3:]) == (1 << 63, tuple(n + (1 << 63) for n in range(3, 9)))
    assert trap.cr == machine.cpu.registers().cr
    machine.cpu.write_gpr_and_cr(3, -5, trap.cr | 0x10000000)
    machine.cpu.run(trap.pc)
    assert machine.cpu.read_gpr(3) == 0xFFFF_FFFF_FFFF_FFFB
    assert machine.cpu.read_gpr(5) & 0xF0000000 == 0x10000000

    machine.cpu.write_gpr_and_cr(3, 0, trap.cr)
    assert machine.cpu.registers().cr & 0x10000000 == 0


def test_the_vector_unit_starts_in_xenons_mode(machine: Machine) -> None:
    machine.cpu.write_gpr(4, DATA)
    machine.code(0x10000604, 0x7C0021CE, SC)  # mfvscr v0; stvx v0,0,r4
    machine.cpu.run(CODE)
    assert machine.memory.read(DATA, 16).hex() == "00000000000000000000000000010000"


def test_a_stop_before_the_run_is_not_lost(machine: Machine) -> None:
    machine.code(SPIN)
    machine.cpu.stop()
    machine.cpu.stop()
    assert machine.cpu.run(CODE).kind is TrapKind.STOPPED


def test_a_stopped_cpu_runs_on(machine: Machine) -> None:
    machine.code(NOP, SC)
    machine.cpu.stop()
    trap = machine.cpu.run(CODE)
    assert machine.cpu.run(trap.pc).kind is TrapKind.SYSTEM_CALL


def test_a_stop_during_a_run_is_prompt_and_pc_is_where_it_goes_on(machine: Machine) -> None:
    machine.code(SPIN)
    threading.Timer(0.05, machine.cpu.stop).start()
    started = time.monotonic()
    trap = machine.cpu.run(CODE)
    assert (trap.kind, trap.pc) == (TrapKind.STOPPED, CODE)
    assert time.monotonic() - started < 30


def test_no_more_instructions_run_than_the_limit_allows(machine: Machine) -> None:
    machine.code(0x38630001, 0x4BFFFFFC)  # addi r3,r3,1; b back
    machine.cpu.write_gpr(3, 0)
    machine.cpu.limit_instructions(1001)
    trap = machine.cpu.run(CODE)
    assert trap.kind is TrapKind.INSTRUCTION_LIMIT
    assert machine.cpu.read_gpr(3) == 500


def test_a_limit_set_after_code_has_run_holds(machine: Machine) -> None:
    machine.code(SC)
    machine.cpu.run(CODE)
    machine.code(SPIN)
    machine.cpu.limit_instructions(100)
    assert machine.cpu.run(CODE).kind is TrapKind.INSTRUCTION_LIMIT


def test_a_bad_address_is_told_in_full(machine: Machine) -> None:
    machine.code(NOP, 0x98640000)  # stb r3,0(r4)
    machine.cpu.write_gpr(4, CODE)
    trap = machine.cpu.run(CODE)
    assert (trap.kind, trap.pc, trap.address, trap.size) == (TrapKind.BAD_ADDRESS, CODE + 4, CODE, 1)
    assert (trap.access, trap.mapped) == (Access.WRITE, True)


def test_pages_that_are_hidden_again_cannot_run(machine: Machine) -> None:
    machine.code(SC)
    assert machine.cpu.run(CODE).kind is TrapKind.SYSTEM_CALL
    machine.pages.unmap(CODE, PAGE_BYTES)
    trap = machine.cpu.run(CODE)
    assert (trap.kind, trap.access, trap.mapped) == (TrapKind.BAD_ADDRESS, Access.EXECUTE, False)


def test_nothing_outside_ram_can_be_mapped(machine: Machine) -> None:
    with pytest.raises(XenonError):
        machine.pages.map(RAM_BYTES, PAGE_BYTES, Protection.READ)


def test_registers_show_what_was_set(machine: Machine) -> None:
    machine.code(0xC8240000, 0x7C8803A6, 0x7C8903A6, SC)  # lfd f1,0(r4); mtlr r4; mtctr r4
    machine.memory.write(DATA, struct.pack(">d", 1.5))
    machine.cpu.write_gpr(4, DATA)
    machine.cpu.write_gpr(31, 31)
    machine.cpu.run(CODE)
    registers = machine.cpu.registers()
    assert (registers.gpr[31], registers.lr, registers.ctr, registers.pc) == (31, DATA, DATA, CODE + 16)
    assert registers.fpr[1] == 0x3FF8_0000_0000_0000


def test_all_registers_are_shown_while_a_thread_waits_for_the_cpu_to_rest() -> None:
    cpu = Machine(resting=ctypes.c_uint32()).cpu
    cpu.pause.may_run.clear()  # as within Pause.paused, where the caller had to wait
    cpu.inspection.write("vscr", 1)
    assert cpu.inspection.read()["vscr"] == 1


def test_neighbours_with_the_same_rights_become_one_piece_and_part_again(machine: Machine) -> None:
    rights = Protection.READ | Protection.WRITE
    for place in (0x40000, 0x42000, 0x41000, 0x3F000):
        machine.pages.map(place, PAGE_BYTES, rights)
    assert (0x3F000, 0x42FFF, int(rights)) in list(machine.cpu._engine.mem_regions())
    machine.pages.unmap(0x41000, PAGE_BYTES)
    machine.code(0x80640000, SC)  # lwz r3,0(r4)
    machine.memory.write(0x42000, b"\0\0\0\7")
    for place, kind in ((0x41000, TrapKind.BAD_ADDRESS), (0x42000, TrapKind.SYSTEM_CALL)):
        machine.cpu.write_gpr(4, place)
        assert machine.cpu.run(CODE).kind is kind
    assert machine.cpu.read_gpr(3) == 7


@pytest.mark.parametrize("compiled", [True, False], ids=["machine code", "Python"])
def test_a_pause_is_exact(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setattr("xenon.hardware.unicorn.pause.stop_hook", stop_hook.__wrapped__)
        monkeypatch.setattr("platform.machine", lambda: "another")
    # As in test_unicorn_facts.py: r3 goes round a ring of pages, r4 counts its steps.
    first, pages = 0x100_0000, 4096
    machine = Machine(ctypes.c_uint32())
    machine.pages.map(first, pages * PAGE_BYTES, Protection.READ)
    for page in range(pages):
        successor = first + (page + 1) % pages * PAGE_BYTES
        machine.memory.write(first + page * PAGE_BYTES, struct.pack(">I", successor))
    machine.code(0x3884_0001, 0x8063_0000, 0x4BFF_FFF8)  # addi r4, r4, 1; lwz r3, 0(r3); b .-8
    machine.cpu.write_gpr(3, first)
    thread = threading.Thread(target=machine.cpu.run, args=(CODE,))
    thread.start()
    try:
        seen = 0
        for _ in range(100):
            time.sleep(0.001)
            with machine.cpu.pause.paused():
                steps = machine.cpu.read_gpr(4)
                assert machine.cpu.registers().pc == CODE
                assert machine.cpu.read_gpr(3) == first + steps % pages * PAGE_BYTES
                seen = max(seen, steps)
        assert seen
    finally:
        machine.cpu.stop()
        thread.join(5)
    assert not thread.is_alive()


def test_an_exception_of_fpscr_is_not_taken_for_one_of_another_instruction() -> None:
    machine = Machine(resting=ctypes.c_uint32())
    mtfsb1 = 0xFC00004C
    machine.code(
        mtfsb1 | 3 << 21, mtfsb1 | 25 << 21, 0x38630001, 0x38840001, 0x4BFFFFF4
    )  # OX, OE; addi; b back
    machine.cpu.write_gpr(3, 0)
    machine.cpu.write_gpr(4, 0)
    pc = CODE
    for _ in range(20):
        threading.Timer(0.003, machine.cpu.stop).start()
        trap = machine.cpu.run(pc)
        assert trap.kind is TrapKind.STOPPED
        pc = trap.pc
    assert machine.cpu.read_gpr(3) == machine.cpu.read_gpr(4) > 0


def test_each_instruction_is_executed_or_refused(machine: Machine) -> None:
    endless = []
    for row in table():
        machine.code(row.opcode, SC)
        machine.cpu.write_gpr(0, DATA)
        machine.cpu.limit_instructions(10)
        guard = threading.Timer(20, machine.cpu.stop)
        guard.start()
        trap = machine.cpu.run(CODE)
        guard.cancel()
        if trap.kind is TrapKind.STOPPED:
            endless.append(row.mnemonic)
    assert not endless


@pytest.mark.parametrize(
    "form", [0x08000000, 0x0C000000, 0x7C000008, 0x7C000088], ids="tdi twi tw td".split()
)
def test_a_trap_traps_by_its_condition(machine: Machine, form: int) -> None:
    values = (0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF_FFFF_FFFF, 0x1_0000_0000)
    wrong = []
    for condition, a, b in itertools.product(range(32), values, values):
        word = form | condition << 21 | 3 << 16 | (4 << 11 if form >> 26 == 31 else b & 0xFFFF)
        machine.code(word, SC)
        machine.cpu.write_gpr(3, a)
        machine.cpu.write_gpr(4, b)
        kind = machine.cpu.run(CODE).kind
        if traps(word, machine.cpu.read_gpr) != (kind is TrapKind.TRAP_INSTRUCTION):
            wrong.append(f"{word:08x} {a:x} {b:x}: {kind}")
    assert not wrong

"""System calls of compiled code: a personality sees and changes the same as on Unicorn; the engine rests."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from systems import RECOMPILER
from unicorn.unicorn_py3.unicorn import Uc

from xenon.hardware.cpu import Cpu, Protection, Registers, Trap, TrapKind
from xenon.hardware.memory_map import PAGE_BYTES
from xenon.lifter.flow import End, NotUnderstood, explore
from xenon.machine import Machine, MachineSettings
from xenon.profile.counts import read_counts
from xenon.recompiler.cpu_kind import CpuKind
from xenon.recompiler.outcome import Tier

pytestmark = RECOMPILER

CODE, OTHER, DATA = 0x10000, 0x11000, 0x20000
SC, TRAP, BLR, NOP = 0x44000002, 0x7FE00008, 0x4E800020, 0x60000000
XER = 1
RIGHTS = Protection.READ | Protection.EXECUTE


def addi(target: int, source: int, value: int) -> int:
    return 14 << 26 | target << 21 | source << 16 | value & 0xFFFF


def store_word(source: int, base: int, offset: int = 0) -> int:
    return 36 << 26 | source << 21 | base << 16 | offset


def branch_less(back: int) -> int:
    """blt cr0, `back` bytes back."""
    return 0x41800000 | -back & 0xFFFC


class Halted(Exception):
    """A program has come to its trap instruction."""


@dataclass
class Recorder:
    """Answers a system call by `answer`, whose result goes to r3; a trap instruction ends the run."""

    answer: Callable[[Cpu, Trap], int] = lambda _cpu, trap: trap.pc
    traps: list[Trap] = field(default_factory=list)
    registers: list[Registers] = field(default_factory=list)

    def serve(self, cpu: Cpu, trap: Trap) -> int:
        self.registers.append(cpu.registers())
        self.traps.append(trap)
        if trap.kind is TrapKind.SYSTEM_CALL:
            return self.answer(cpu, trap)
        raise Halted(trap.kind.value)


def loaded(
    kind: CpuKind, words: list[int], other: list[int] | None = None, measured: bool = False
) -> Machine:
    """A machine with these instructions at CODE, compiled where that is possible, and `other` ones at OTHER,
    which are not."""
    machine = Machine(MachineSettings(cpu=kind, measured=measured))
    machine.pages.map(CODE, 2 * PAGE_BYTES, RIGHTS)
    machine.pages.map(DATA, PAGE_BYTES, Protection.READ | Protection.WRITE)
    for address, code in ((CODE, words), (OTHER, other or [])):
        machine.memory.write(address, struct.pack(f">{len(code)}I", *code))
    if machine.recompiler is not None:
        assert machine.recompiler.compile(CODE).tier is Tier.COMPILED
    return machine


def run(machine: Machine, personality: Recorder, end: str = "trap instruction") -> None:
    machine.cpus[0].write_gpr(4, DATA)
    with pytest.raises(Halted, match=end):
        machine.run(machine.cpus[0], CODE, personality)
    machine.stop()


def word(machine: Machine, address: int = DATA) -> int:
    return int.from_bytes(machine.memory.read(address, 4), "big")


def on_both(
    words: list[int], answer: Callable[[Cpu, Trap], int], other: list[int] | None = None
) -> tuple[Recorder, Machine]:
    """Run on both kinds of CPU, which must show the same; what the recompiler shows."""
    shown = []
    for kind in (CpuKind.UNICORN, CpuKind.RECOMPILER):
        machine, recorder = loaded(kind, words, other), Recorder(answer)
        run(machine, recorder)
        shown.append((recorder, machine))
    (expected, on_unicorn), (recorder, machine) = shown
    assert recorder.traps == expected.traps
    assert recorder.registers == expected.registers
    assert machine.memory.read(DATA, PAGE_BYTES) == on_unicorn.memory.read(DATA, PAGE_BYTES)
    return recorder, machine


def move_special(register: int, number: int, to_special: bool = False) -> int:
    """mfspr or mtspr."""
    opcode = 0x7C00_03A6 if to_special else 0x7C00_02A6
    return opcode | register << 21 | (number & 31) << 16 | number >> 5 << 11


def test_the_interpreter_executes_an_instruction_without_a_rule_and_compiled_code_goes_on() -> None:
    words = [addi(5, 0, 77), move_special(5, XER, to_special=True), addi(5, 5, 1), move_special(6, XER)]
    words += [store_word(5, 4), store_word(6, 4, 4)]
    words += [0x4800_0001 | OTHER - CODE - 4 * len(words), addi(5, 5, 1), store_word(5, 4), TRAP]
    _, machine = on_both(words, lambda _cpu, trap: trap.pc, [BLR])
    assert (word(machine), word(machine, DATA + 4)) == (79, 77)
    assert machine.recompiler is not None
    (code,) = machine.recompiler.attached
    assert code.hand_overs == 4  # at the entry, behind each of the two, and where the call comes back


def test_a_form_with_a_dot_sees_the_exceptions_of_compiled_code() -> None:
    words = [0xFC20_0890, 0xFC61_0824]  # fmr f1, f1; fdiv f3, f1, f1: 0 / 0
    words += [0xFC80_0891, 0x7CE0_0026, store_word(7, 4), TRAP]  # fmr. f4, f1; mfcr r7
    for kind in (CpuKind.UNICORN, CpuKind.RECOMPILER):
        machine = loaded(kind, words)
        run(machine, Recorder())
        assert word(machine) >> 24 & 15 == 0b1010  # FX and VX


def test_compiled_code_is_not_entered_while_xer_has_an_overflow() -> None:
    """Comparisons then copy SO; the interpreter does that."""
    highest = [addi(5, 0, -1), 0x78A5_F842]  # li r5, -1; srdi r5, r5, 1
    other = [0x7CC5_2E14, BLR]  # addo r6, r5, r5: compiled code leaves it where it overflows
    compare, keep = 0x2C060001, 0x7CE0_0026  # cmpwi r6, 1; mfcr r7
    words = [
        *highest,
        0x4800_0001 | OTHER - CODE - 8,
        compare,
        keep,
        store_word(7, 4),
        store_word(6, 4, 4),
        TRAP,
    ]
    for kind in (CpuKind.UNICORN, CpuKind.RECOMPILER):
        machine = loaded(kind, words, other)
        if machine.recompiler is not None:
            assert machine.recompiler.compile(OTHER).tier is Tier.COMPILED
        run(machine, Recorder())
        assert word(machine, DATA + 4) == 0xFFFF_FFFE
        assert word(machine) >> 28 == 0b1001  # less, and SO


def test_a_loop_with_an_instruction_without_a_rule_stays_with_the_interpreter() -> None:
    loop = {CODE: move_special(5, XER), CODE + 4: branch_less(4), CODE + 8: BLR}
    with pytest.raises(NotUnderstood, match="no rule for mfspr"):
        explore(loop.get, (CODE,))


# li r5, 0; r5 += 1; sc; cmpwi r5, 100; blt back; trap
LOOP = [addi(5, 0, 0), addi(5, 5, 1), SC, 0x2C050064, branch_less(12), TRAP]


def test_the_engine_rests_from_the_first_system_call_on(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[int] = []
    start = Uc.emu_start

    def counted(engine: Uc, begin: int, until: int) -> None:
        starts.append(begin)
        start(engine, begin, until)

    machine, recorder = loaded(CpuKind.RECOMPILER, LOOP), Recorder()
    monkeypatch.setattr(Uc, "emu_start", counted)
    run(machine, recorder)
    assert len(recorder.traps) == 101
    assert len(starts) == 2  # at the entry, and for the trap instruction
    assert starts[0] == CODE


def test_a_personality_sees_and_changes_the_registers_of_compiled_code() -> None:
    def answer(cpu: Cpu, trap: Trap) -> int:
        cpu.write_gpr(7, cpu.read_gpr(5) + trap.gpr[3])
        cpu.write_gpr_and_cr(3, -2, trap.cr ^ 0x9000_0001)
        return trap.pc

    words = [
        addi(5, 0, 0x123), addi(3, 0, -1), 0x7CA803A6, 0x7CA903A6, 0x2C050000,  # mtlr, mtctr r5; cmpwi r5, 0
        0xC0240000, SC,  # lfs f1, 0(r4)
        0x7D000026, 0x90E40000, 0x91040004, SC, TRAP,  # mfcr r8; stw r7, 0(r4); stw r8, 4(r4)
    ]  # fmt: skip
    recorder, machine = on_both(words, answer)
    assert word(machine) == 0x122
    assert recorder.registers[1].gpr[3] == 0xFFFF_FFFF_FFFF_FFFE
    assert word(machine, DATA + 4) == recorder.traps[0].cr ^ 0x9000_0001


def test_what_is_in_no_register_of_the_engines_survives_a_system_call() -> None:
    # vspltisw v2, 5; addic r6, r3, -1 with r3 = 1 sets CA; sc; addze r7, r6; stvx v2, 0, r4; stw r7, 16(r4)
    words = [0x1045038C, addi(3, 0, 1), 0x30C3FFFF, SC, 0x7CE60194, 0x7C4021CE, store_word(7, 4, 16), TRAP]
    _, machine = on_both(words, lambda _cpu, trap: trap.pc)
    assert machine.memory.read(DATA, 20) == struct.pack(">5I", 5, 5, 5, 5, 1)


def test_unicorn_goes_on_with_the_vectors_of_compiled_code() -> None:
    jump = 0x48000000 | (OTHER - CODE - 8)  # b OTHER, which is not compiled
    words = [0x1045038C, SC, jump]
    _, machine = on_both(words, lambda _cpu, trap: trap.pc, [0x7C4021CE, SC, TRAP])
    assert machine.memory.read(DATA, 16) == struct.pack(">4I", 5, 5, 5, 5)


def test_the_first_instruction_of_a_function_is_executed_once() -> None:
    # stw r4, 0(r4) is the one that the engine stands at; stw r5, 0(r4) comes later
    words = [store_word(4, 4), addi(5, 0, 7), store_word(5, 4), SC, TRAP]
    _, machine = on_both(words, lambda _cpu, trap: trap.pc)
    assert word(machine) == 7


def test_a_personality_chooses_where_compiled_code_goes_on() -> None:
    words = [SC, TRAP, addi(5, 0, 9), store_word(5, 4), SC, NOP, TRAP]
    _, machine = on_both(words, lambda _cpu, trap: trap.pc + 4)
    assert word(machine) == 9


def test_code_that_a_system_call_changes_is_executed_as_changed() -> None:
    def stored_on(kind: CpuKind) -> int:
        machine = loaded(kind, [SC, addi(5, 0, 1), store_word(5, 4), TRAP])

        def answer(_cpu: Cpu, trap: Trap) -> int:
            machine.memory.write(trap.pc, struct.pack(">I", addi(5, 0, 2)))
            machine.pages.written(trap.pc, 4)
            return trap.pc

        run(machine, Recorder(answer))
        return word(machine)

    assert [stored_on(kind) for kind in (CpuKind.UNICORN, CpuKind.RECOMPILER)] == [2, 2]


@pytest.mark.parametrize("kind", [CpuKind.UNICORN, CpuKind.RECOMPILER])
@pytest.mark.parametrize("how", ["unmap", "protect", "unmap code"])
def test_pages_that_a_system_call_takes_away_are_gone_at_once(kind: CpuKind, how: str) -> None:
    machine = loaded(kind, [store_word(4, 4), SC, store_word(4, 4), TRAP])

    def answer(_cpu: Cpu, trap: Trap) -> int:
        if how == "unmap":
            machine.pages.unmap(DATA, PAGE_BYTES)
        elif how == "protect":
            machine.pages.protect(DATA, PAGE_BYTES, Protection.READ)
        else:
            machine.pages.unmap(CODE, PAGE_BYTES)
        return trap.pc

    recorder = Recorder(answer)
    run(machine, recorder, "bad address")
    assert (recorder.traps[1].pc, recorder.traps[1].address) == (
        CODE + 8, CODE + 8 if how == "unmap code" else DATA,
    )  # fmt: skip


@pytest.mark.parametrize("kind", [CpuKind.UNICORN, CpuKind.RECOMPILER])
def test_a_limit_that_a_system_call_sets_counts_from_there(kind: CpuKind) -> None:
    def answer(cpu: Cpu, trap: Trap) -> int:
        if trap.gpr[5] == 3:
            cpu.limit_instructions(10)
        return trap.pc

    recorder = Recorder(answer)
    run(loaded(kind, LOOP), recorder, "instruction limit")
    assert recorder.registers[-1].gpr[5] == 5


def test_a_loop_of_system_calls_can_be_stopped() -> None:
    machine = loaded(CpuKind.RECOMPILER, [addi(5, 5, 1), SC, 0x4BFFFFF8])  # b to the start
    served = threading.Semaphore(0)
    ended = threading.Event()

    def answer(_cpu: Cpu, trap: Trap) -> int:
        served.release()
        return trap.pc

    def work(cpu: Cpu) -> None:
        machine.run(cpu, CODE, Recorder(answer))
        ended.set()

    machine.start(0, work)
    for _ in range(50):
        assert served.acquire(timeout=20)
    machine.stop()
    assert ended.is_set()


def test_another_thread_changes_pages_between_system_calls() -> None:
    machine = loaded(CpuKind.RECOMPILER, LOOP)
    machine.pages.be_pausable()
    asked, done = threading.Event(), threading.Event()

    def change() -> None:
        assert asked.wait(20)
        machine.pages.map(DATA + PAGE_BYTES, PAGE_BYTES, Protection.READ)
        machine.pages.unmap(DATA + PAGE_BYTES, PAGE_BYTES)
        done.set()

    def answer(_cpu: Cpu, trap: Trap) -> int:
        asked.set()
        return trap.pc if trap.gpr[5] < 50 or done.wait(20) else 0

    thread = threading.Thread(target=change)
    thread.start()
    recorder = Recorder(answer)
    run(machine, recorder)
    thread.join()
    assert len(recorder.traps) == 101


def test_a_pause_after_a_system_call_keeps_the_condition_register() -> None:
    """The program counts at DATA + 4, with CR0 live, until another thread has paused it and written DATA."""
    words = [
        addi(5, 0, 0), 0x2C050000, SC, 0x2C240000,  # cmpwi r5, 0: equal; sc; cmpdi r4, 0: greater
        addi(5, 5, 1), store_word(5, 4, 4), 0x80C40000,  # the loop: r5 += 1; stw r5, 4(r4); lwz r6, 0(r4)
        0x2C860000, 0x41860000 | -16 & 0xFFFC,  # cmpwi cr1, r6, 0; beq cr1, back
        0x7D000026, store_word(8, 4, 8), TRAP,  # mfcr r8; stw r8, 8(r4)
    ]  # fmt: skip
    machine = loaded(CpuKind.RECOMPILER, words)
    machine.pages.be_pausable()
    assert machine.recompiler is not None
    (code,) = machine.recompiler.attached

    held: list[int] = []

    def pause() -> None:
        deadline = time.monotonic() + 20
        while word(machine, DATA + 4) == 0 and time.monotonic() < deadline:
            time.sleep(0.001)
        with code.cpu.pause.paused():
            held.append(code.held.value)
            machine.memory.write(DATA, b"\1" * 4)

    thread = threading.Thread(target=pause)
    thread.start()
    run(machine, Recorder())
    thread.join()
    assert held == [1]  # it came to rest in compiled code
    assert word(machine, DATA + 8) >> 28 == 0b0100  # CR0: greater


def test_counts_are_those_of_unicorn() -> None:
    counted = []
    for kind in (CpuKind.UNICORN, CpuKind.RECOMPILER):
        machine = loaded(
            kind, [*LOOP[:-1], SC, NOP, 0x48000000 | (OTHER - CODE - 28)], [SC, TRAP], measured=True
        )
        run(machine, Recorder())
        instruments = [cpu.instruments for cpu in machine.cpus if cpu.instruments is not None]
        counted.append(
            [counts.executed[: PAGE_BYTES // 4 + 4] for counts in read_counts(machine.memory, instruments)[0]]
        )
    for expected, executed in zip(*counted, strict=True):
        np.testing.assert_array_equal(executed, expected)
    assert counted[0][0][2] == 100


def test_what_is_no_code_behind_the_last_system_call_is_left_out() -> None:
    vsx = 0xF0000000 | 0x2D0  # of a processor after Xenon
    with pytest.raises(NotUnderstood):
        explore({CODE: vsx}.get, (CODE,))
    for behind in (0, vsx):
        code = {CODE: addi(0, 0, 234), CODE + 4: SC, CODE + 8: behind}
        flow = explore(code.get, (CODE,))
        assert flow.blocks[CODE].end is End.SYSTEM_CALL
        assert len(flow.words) == 2
    flow = explore({CODE: SC, CODE + 4: BLR}.get, (CODE,), functions={CODE + 4})
    assert flow.entry_points == [CODE]

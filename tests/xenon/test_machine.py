"""The machine without Linux: bare programs, and personalities that are a class of a few lines each."""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass, field

import pytest

from xenon.errors import XenonError
from xenon.hardware.cpu import Cpu, Protection, Trap, TrapKind
from xenon.hardware.gpu import GPU_REGISTERS
from xenon.hardware.memory_map import MIB, PAGE_BYTES, Range
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.machine import Machine, MachineSettings, Personality, check_threads
from xenon.powerpc.system import PRIVILEGED
from xenon.profile.counts import read_counts
from xenon.recompiler.cpu_kind import CpuKind, installed

CODE, DATA = 0x10000, 0x20000
KINDS = [CpuKind.UNICORN, *([CpuKind.RECOMPILER] if installed() else [])]

SC, SPIN = 0x44000002, 0x48000000


def addi(target: int, source: int, value: int) -> int:
    return 14 << 26 | target << 21 | source << 16 | value & 0xFFFF


class Halted(Exception):
    """The toy program has come to its end."""


@dataclass
class Toy:
    """`sc` with 0 in r3 halts, with another number it prints that; nothing else is known."""

    printed: list[int] = field(default_factory=list)

    def serve(self, _cpu: Cpu, trap: Trap) -> int:
        if trap.kind is not TrapKind.SYSTEM_CALL:
            raise XenonError(f"the toy knows no {trap.kind.value}")
        if trap.gpr[3] == 0:
            raise Halted
        self.printed.append(trap.gpr[3])
        return trap.pc


@dataclass
class Stepper:
    """A debugger in small: a personality around another one, which sees each trap first."""

    inner: Personality
    seen: list[int] = field(default_factory=list)

    def serve(self, cpu: Cpu, trap: Trap) -> int:
        self.seen.append(trap.pc)
        if trap.kind is TrapKind.TRAP_INSTRUCTION:  # a breakpoint: step over it
            return trap.pc + 4
        return self.inner.serve(cpu, trap)


def test_a_host_without_threads_to_give_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    machine = Machine()
    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", start)
        with pytest.raises(XenonError, match="hardware thread 0: this computer gives no thread"):
            machine.start(0, lambda cpu: None)
    machine.stop()


def bare(kind: CpuKind, *words: int, threads: int = 1) -> Machine:
    """A machine with these instructions at CODE and a page of data."""
    machine = Machine(MachineSettings(cpu=kind, threads=threads))
    machine.pages.map(CODE, PAGE_BYTES, Protection.READ | Protection.EXECUTE)
    machine.pages.map(DATA, PAGE_BYTES, Protection.READ | Protection.WRITE)
    machine.memory.write(CODE, struct.pack(f">{len(words)}I", *words))
    return machine


@pytest.mark.parametrize("kind", KINDS)
def test_a_bare_program_runs_under_a_personality_of_its_own(kind: CpuKind) -> None:
    machine = bare(kind, addi(3, 0, 7), SC, addi(3, 3, 1), SC, addi(3, 0, 0), SC)
    toy = Toy()
    with pytest.raises(Halted):
        machine.run(machine.cpus[0], CODE, toy)
    assert toy.printed == [7, 8]
    machine.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_a_personality_may_stand_around_another_one(kind: CpuKind) -> None:
    machine = bare(kind, addi(3, 0, 7), SC, 0x7FE00008, addi(3, 0, 0), SC)  # trap in the middle
    stepper = Stepper(Toy())
    with pytest.raises(Halted):
        machine.run(machine.cpus[0], CODE, stepper)
    assert stepper.seen == [CODE + 8, CODE + 8, CODE + 20]
    machine.stop()


def test_what_a_personality_does_not_answer_ends_the_run() -> None:
    machine = bare(CpuKind.UNICORN, 0)
    with pytest.raises(XenonError, match="the toy knows no illegal instruction"):
        machine.run(machine.cpus[0], CODE, Toy())


@pytest.mark.parametrize("kind", KINDS)
def test_stop_ends_all_hardware_threads_and_what_they_were_given(kind: CpuKind) -> None:
    machine = bare(kind, SPIN, threads=3)
    ended: list[int] = []
    begun = [threading.Event() for _ in machine.cpus]
    for thread in range(3):

        def work(cpu: Cpu, thread: int = thread) -> None:
            begun[thread].set()
            machine.run(cpu, CODE, Toy())
            ended.append(thread)

        machine.start(thread, work)
    assert all(event.wait(20) for event in begun)
    assert ended == []
    machine.stop()
    assert sorted(ended) == [0, 1, 2]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hardware thread")]


def test_a_hardware_thread_does_what_it_is_given_in_order() -> None:
    machine = bare(CpuKind.UNICORN, SC, threads=2)
    done: list[int] = []
    last = threading.Event()
    for number in range(3):
        machine.start(1, lambda _, number=number: done.append(number))  # type: ignore[misc]
    machine.start(1, lambda _: last.set())
    assert last.wait(20)
    assert done == [0, 1, 2]
    machine.stop()


def test_stop_calls_what_waits_to_be_told() -> None:
    machine = Machine()
    told: list[bool] = []
    machine.on_stop.append(lambda: told.append(machine.stopping.is_set()))
    machine.stop()
    assert told == [True]
    assert machine.gpu.processor.stopped


def test_the_devices_are_on_the_bus() -> None:
    assert [window.range for window in Machine().bus.windows] == [GPU_REGISTERS]


class Latch:
    """A device of one register."""

    def __init__(self) -> None:
        self.value = 0
        self.stopped = False

    def read(self, offset: int) -> int:
        return self.value

    def write(self, offset: int, value: int) -> None:
        self.value = value

    def stop(self) -> None:
        self.stopped = True


def test_a_machine_may_have_other_devices_in_the_gpus_place() -> None:
    latch, window = Latch(), Range("latch", 0x200_0000_0000, PAGE_BYTES)
    machine = Machine(MachineSettings(cpu=CpuKind.UNICORN), devices=[(window, latch)])
    assert [known.range for known in machine.bus.windows] == [window]
    machine.bus.write(window.start + 8, 4, 7)
    assert machine.bus.read(window.start, 4) == 7
    machine.stop()
    assert latch.stopped


@pytest.mark.parametrize("kind", KINDS)
def test_a_privileged_instruction_is_a_trap_where_it_is_asked_for(kind: CpuKind) -> None:
    machine = Machine(MachineSettings(cpu=kind), served=PRIVILEGED)
    machine.pages.map(CODE, PAGE_BYTES, Protection.READ | Protection.WRITE | Protection.EXECUTE)
    mftb_r3 = 0x7C6C42E6
    machine.memory.write(CODE, struct.pack(">3I", addi(4, 0, 1), mftb_r3, SC))
    cpu = machine.cpus[0]
    trap = cpu.run(CODE)
    assert (trap.kind, trap.pc) == (TrapKind.PRIVILEGED, CODE + 4)
    cpu.write_gpr(3, 77)
    trap = cpu.run(trap.pc + 4)
    assert (trap.kind, trap.gpr[3], trap.gpr[4]) == (TrapKind.SYSTEM_CALL, 77, 1)
    machine.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_an_instruction_that_is_served_counts_once(kind: CpuKind) -> None:
    mftb_r3, words = 0x7C6C42E6, 6
    machine = Machine(MachineSettings(cpu=kind, measured=True), served=PRIVILEGED)
    machine.pages.map(CODE, PAGE_BYTES, Protection.READ | Protection.WRITE | Protection.EXECUTE)
    code = [addi(4, 0, 1), mftb_r3, addi(5, 0, 1), mftb_r3, addi(6, 0, 1), SC]
    machine.memory.write(CODE, struct.pack(f">{words}I", *code))
    cpu, pc = machine.cpus[0], CODE
    for _ in range(2):
        trap = cpu.run(pc)
        assert trap.kind is TrapKind.PRIVILEGED
        pc = trap.pc + 4
    cpu.limit_instructions(2)
    assert cpu.run(pc).kind is TrapKind.SYSTEM_CALL
    assert isinstance(cpu, UnicornCpu) and cpu.instruments is not None
    (counts,) = read_counts(machine.memory, [cpu.instruments])[0]
    assert [int(count) for count in counts.executed[:words]] == [1] * words
    machine.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_counts_an_instruction_that_is_served_once(kind: CpuKind) -> None:
    machine = Machine(MachineSettings(cpu=kind), served=PRIVILEGED)
    machine.pages.map(CODE, PAGE_BYTES, Protection.READ | Protection.WRITE | Protection.EXECUTE)
    code = [addi(4, 0, 1), 0x7C6C42E6, *(addi(5, 0, 1) for _ in range(6)), SC]
    machine.memory.write(CODE, struct.pack(f">{len(code)}I", *code))
    cpu = machine.cpus[0]
    cpu.limit_instructions(len(code))
    assert cpu.run(CODE).kind is TrapKind.PRIVILEGED
    assert cpu.run(CODE + 8).kind is TrapKind.SYSTEM_CALL
    machine.stop()


def test_a_machine_is_what_its_settings_say() -> None:
    machine = Machine(MachineSettings(memory_bytes=64 * MIB, threads=2, cpu=CpuKind.UNICORN))
    assert (machine.memory.size, len(machine.cpus), machine.recompiler) == (64 * MIB, 2, None)
    for threads in (0, 7):
        with pytest.raises(XenonError, match="expected 1 to 6"):
            check_threads(threads)

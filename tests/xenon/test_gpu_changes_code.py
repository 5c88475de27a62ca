"""Code that the GPU writes: each CPU executes it once a later fence is there."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator

import pytest
from systems import RECOMPILER, need

from xenon.hardware.cpu import Protection, Trap, TrapKind
from xenon.hardware.gpu import GPU_REGISTERS
from xenon.hardware.gpu.endian import Endian
from xenon.hardware.gpu.packets import EQUAL, POLL_MEMORY, Opcode, type_3
from xenon.hardware.gpu.registers import Register
from xenon.hardware.memory_map import PAGE_BYTES
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.machine import Machine, MachineSettings
from xenon.recompiler.cpu_kind import CpuKind
from xenon.recompiler.outcome import Tier

STUB, DATA, CODE, RING = 0x10000, 0x30000, 0x40000, 0x10_0000
FENCE, READY = DATA, DATA + 0x100
READ, WRITE, EXECUTE = Protection.READ, Protection.WRITE, Protection.EXECUTE
SC, BLR = 0x44000002, 0x4E800020
FLUSH = (0x7C00606C, 0x7C0004AC, 0x7C0067AC, 0x4C00012C)  # dcbst 0,r12; sync; icbi 0,r12; isync
CALL = (0x7D8903A6, 0x4E800421)  # mtctr r12; bctrl
KICK = (0x38C60001, 0x916A0000, 0x38C60001)  # addi r6,r6,1; stw r11,0(r10); addi r6,r6,1
AWAIT_FENCE = (0x80E80000, 0x7C074800, 0x4082FFF8)  # lwz r7,0(r8); cmpw r7,r9; bne back
BIG_ENDIAN = int(Endian.SWAP_8_IN_32)


def li_r3(value: int) -> int:
    return 0x3860_0000 | value


class Console:
    """A machine with a function at CODE that returns a number, and a ring buffer."""

    def __init__(self, kind: CpuKind, threads: int = 1, measured: bool = False) -> None:
        self.machine = Machine(MachineSettings(cpu=kind, threads=threads, measured=measured))
        self.cpus = self.machine.cpus
        pages = self.machine.pages
        pages.map(STUB, PAGE_BYTES, READ | EXECUTE)
        pages.map(DATA, PAGE_BYTES, READ | WRITE)
        pages.map(RING, PAGE_BYTES, READ | WRITE)
        self.position = 0
        self.machine.bus.write(GPU_REGISTERS.start + 4 * Register.CP_RB_BASE, 4, RING)
        self.machine.bus.write(GPU_REGISTERS.start + 4 * Register.CP_RB_CNTL, 4, BIG_ENDIAN << 16 | 8)

    def put(self, address: int, *words: int) -> None:
        self.machine.memory.write(address, struct.pack(f">{len(words)}I", *words))
        self.machine.pages.written(address, 4 * len(words))

    def function(self, rights: Protection) -> None:
        self.machine.pages.map(CODE, PAGE_BYTES, rights)
        self.put(CODE, li_r3(0), BLR)

    def compile(self, address: int) -> None:
        if self.machine.recompiler is not None:
            assert self.machine.recompiler.compile(address).tier is Tier.COMPILED

    def queue(self, *packets: tuple[int, ...]) -> None:
        """Put packets of type 3, opcode and payload, into the ring."""
        for opcode, *payload in packets:
            for word in (type_3(opcode, len(payload)), *payload):
                self.put(RING + 4 * self.position, word)
                self.position += 1

    def rewrite(self, value: int) -> tuple[int, ...]:
        """A packet that makes the function return another number."""
        return (Opcode.MEM_WRITE, CODE | BIG_ENDIAN, li_r3(value))

    def run(self, *words: int, cpu: int = 0, at: int = STUB, **registers: int) -> Trap:
        """Run instructions with r10 at the write pointer, r11 what to write there, r12 at the function."""
        self.put(at, *words, SC)
        self.prepare(self.cpus[cpu], **registers)
        return self.cpus[cpu].run(at)

    def prepare(self, cpu: UnicornCpu, **registers: int) -> None:
        pointer = GPU_REGISTERS.start + 4 * Register.CP_RB_WPTR
        values = {"r6": 0, "r8": FENCE, "r10": pointer, "r11": self.position, "r12": CODE} | registers
        for name, value in values.items():
            cpu.write_gpr(int(name[1:]), value)


@pytest.fixture(params=CpuKind, ids=lambda kind: kind.value)
def kind(request: pytest.FixtureRequest) -> CpuKind:
    if request.param is CpuKind.RECOMPILER:
        need(RECOMPILER)
    return CpuKind(request.param)


@pytest.fixture
def consoles() -> Iterator[list[Console]]:
    made: list[Console] = []
    yield made
    for console in made:
        console.machine.stop()


@pytest.mark.parametrize("rights", [READ | EXECUTE, READ | WRITE | EXECUTE], ids=["code", "code and data"])
def test_an_instruction_that_the_gpu_rewrites(
    kind: CpuKind, rights: Protection, consoles: list[Console]
) -> None:
    console = Console(kind)
    consoles.append(console)
    console.function(rights)
    for value in range(1, 20):
        console.compile(CODE)
        assert console.run(*CALL).kind is TrapKind.SYSTEM_CALL
        assert console.cpus[0].read_gpr(3) == value - 1
        # Two changes and their fences: the CPU comes to rest at each of them, and nothing is done twice.
        console.queue(
            console.rewrite(99),
            (Opcode.MEM_WRITE, FENCE | BIG_ENDIAN, 99),
            console.rewrite(value),
            (Opcode.MEM_WRITE, FENCE | BIG_ENDIAN, value),
        )
        trap = console.run(*KICK, *AWAIT_FENCE, *FLUSH, *CALL, r9=value)
        assert trap.kind is TrapKind.SYSTEM_CALL
        assert (console.cpus[0].read_gpr(3), console.cpus[0].read_gpr(6)) == (value, 2)
        assert console.machine.gpu.registers[Register.CP_RB_RPTR] == console.position


def test_a_cpu_that_polls_the_fence_of_another_ones_packets(kind: CpuKind, consoles: list[Console]) -> None:
    console = Console(kind, threads=2)
    consoles.append(console)
    console.function(READ | EXECUTE)
    poller = STUB + 0x200
    console.put(poller, *CALL, *AWAIT_FENCE, *FLUSH, *CALL, SC)
    for value in range(1, 20):
        console.compile(CODE)
        traps: list[Trap] = []
        console.prepare(console.cpus[1], r9=value)
        thread = threading.Thread(target=lambda into=traps: into.append(console.cpus[1].run(poller)))
        thread.start()
        console.queue(console.rewrite(value), (Opcode.MEM_WRITE, FENCE | BIG_ENDIAN, value))
        console.run(*KICK, *FLUSH, *CALL)
        thread.join(20)
        assert [trap.kind for trap in traps] == [TrapKind.SYSTEM_CALL]
        assert [cpu.read_gpr(3) for cpu in console.cpus] == [value, value]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_gpu_that_goes_on_by_itself_rewrites_code(
    kind: CpuKind, threads: int, consoles: list[Console]
) -> None:
    console = Console(kind, threads=threads)
    consoles.append(console)
    console.function(READ | EXECUTE)
    for value in range(1, 10):
        console.compile(CODE)
        wait = (Opcode.WAIT_REG_MEM, POLL_MEMORY | EQUAL, READY | BIG_ENDIAN, value, 0xFFFF_FFFF, 1)
        console.queue(wait, console.rewrite(value), (Opcode.MEM_WRITE, FENCE | BIG_ENDIAN, value))
        # The CPU calls the function, says that it is ready, and counts its way to the fence.
        store_ready = 0x91280100  # stw r9,256(r8)
        count = (0x38E70001, 0x80A80000, 0x7C054800, 0x4082FFF4)  # addi r7,r7,1; lwz r5,0(r8); cmpw; bne
        trap = console.run(*KICK, *CALL, store_ready, *count, *FLUSH, *CALL, r7=0, r9=value)
        assert trap.kind is TrapKind.SYSTEM_CALL
        assert (console.cpus[0].read_gpr(3), console.cpus[0].read_gpr(6)) == (value, 2)


def test_a_store_to_the_gpu_that_is_made_again_is_limited_and_counted_once(consoles: list[Console]) -> None:
    console = Console(CpuKind.UNICORN, measured=True)
    consoles.append(console)
    console.function(READ | EXECUTE)
    console.run(*CALL)
    console.queue(console.rewrite(1))
    instruments = console.cpus[0].instruments
    assert instruments is not None
    console.cpus[0].limit_instructions(8)
    before = list(instruments.tables(STUB, STUB + 32)[0])
    trap = console.run(*KICK, *CALL)
    assert (trap.kind, console.cpus[0].read_gpr(3)) == (TrapKind.SYSTEM_CALL, 1)
    after = list(instruments.tables(STUB, STUB + 32)[0])
    steps = [new - old for new, old in zip(after, before, strict=True)]
    assert [sum(steps[: index + 1]) for index in range(7)] == [1, 1, 1, 1, 1, 1, 0]

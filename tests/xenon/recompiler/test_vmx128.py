"""VMX128 and the left and right loads in programs: the same on Unicorn, in cold and in compiled code."""

from __future__ import annotations

import struct
from enum import Enum

import pytest
from systems import RECOMPILER

from xenon.hardware.cpu import Cpu, Protection, Trap, TrapKind
from xenon.hardware.memory_map import PAGE_BYTES
from xenon.machine import Machine, MachineSettings
from xenon.recompiler.cpu_kind import CpuKind
from xenon.recompiler.outcome import Tier

pytestmark = RECOMPILER

CODE, OTHER, DATA = 0x10000, 0x11000, 0x20000
TRAP, BLR = 0x7FE00008, 0x4E800020
FLOATS = [float(number) for number in range(1, 9)]
RESULT, STORED = 64, 96  # in DATA: where v5 goes, and where the program's own store goes
LOAD = [
    0x7C40_20CE,  # lvx v2, 0, r4
    0x38C0_0010,  # li r6, 16
    0x7C64_30CE,  # lvx v3, r4, r6
    0x10A5_2CC4,  # vxor v5, v5, v5
    0x3924_0004,  # addi r9, r4, 4
    0x3944_0000 | STORED,  # addi r10, r4, 96
    0x38E0_0000 | RESULT,  # li r7, 64
]
STORE = [0x7CA4_39CE, TRAP]  # stvx v5, r4, r7


class How(Enum):
    UNICORN = "on Unicorn"
    COLD = "beside the recompiler, not compiled"
    COMPILED = "compiled"
    OPTIMISED = "compiled and optimised"


class Halted(Exception):
    pass


class Halt:
    """Ends the run at a trap instruction."""

    def serve(self, _cpu: Cpu, trap: Trap) -> int:
        raise Halted(trap.kind)


def results(how: How, words: list[int], other: list[int]) -> tuple[list[float], list[float]]:
    """The four floats at RESULT and those at STORED, after CODE has run, which may call OTHER."""
    machine = Machine(MachineSettings(cpu=CpuKind.UNICORN if how is How.UNICORN else CpuKind.RECOMPILER))
    machine.pages.map(CODE, 2 * PAGE_BYTES, Protection.READ | Protection.EXECUTE)
    machine.pages.map(DATA, PAGE_BYTES, Protection.READ | Protection.WRITE)
    for address, code in ((CODE, words), (OTHER, other)):
        machine.memory.write(address, struct.pack(f">{len(code)}I", *code))
    machine.memory.write(DATA, struct.pack(">8f", *FLOATS))
    if how in (How.COMPILED, How.OPTIMISED):
        assert machine.recompiler is not None
        tier = Tier.COMPILED if how is How.COMPILED else Tier.OPTIMISED
        assert machine.recompiler.compile(CODE, tier=tier).tier is tier
    machine.cpus[0].write_gpr(4, DATA)
    with pytest.raises(Halted) as halted:
        machine.run(machine.cpus[0], CODE, Halt())
    machine.stop()
    assert halted.value.args == (TrapKind.TRAP_INSTRUCTION,)
    result, stored = (struct.unpack(">4f", machine.memory.read(DATA + at, 16)) for at in (RESULT, STORED))
    return list(result), list(stored)


ZEROS = [0.0] * 4


@pytest.mark.parametrize("how", How)
@pytest.mark.parametrize(
    ("word", "result", "stored"),
    [
        (0x14A218D0, [5.0, 12.0, 21.0, 32.0], ZEROS),  # vmaddfp128 v5, v2, v3
        (0x10A048C3, [1.0, 2.0, 3.0, 4.0], ZEROS),  # lvx128 v5, 0, r9
        (0x104051C3, ZEROS, [1.0, 2.0, 3.0, 4.0]),  # stvx128 v2, 0, r10
        (0x7CA04C0E, [2.0, 3.0, 4.0, 0.0], ZEROS),  # lvlx v5, 0, r9
        (0x7CA04C4E, [0.0, 0.0, 0.0, 1.0], ZEROS),  # lvrx v5, 0, r9
        (0x14A219D0, [70.0] * 4, ZEROS),  # vmsum4fp128 v5, v2, v3
    ],
    ids=["vmaddfp128", "lvx128", "stvx128", "lvlx", "lvrx", "vmsum4fp128"],
)
def test_what_only_xenon_has_is_executed(
    how: How, word: int, result: list[float], stored: list[float]
) -> None:
    assert results(how, [*LOAD, word, *STORE], []) == (result, stored)


@pytest.mark.parametrize("how", How)
def test_the_upper_registers_are_those_of_cold_code_too(how: How) -> None:
    call = 0x4800_0001 | OTHER - CODE - 4 * len(LOAD)
    words = [*LOAD, call, 0x14A4_2433, *STORE]  # vaddfp128 v5, v100, v100
    other = [0x1080_20CF, BLR]  # lvx128 v100, 0, r4
    assert results(how, words, other) == ([2.0, 4.0, 6.0, 8.0], ZEROS)

"""Tests that the recompiler shows the guest nothing of its own: the end of the address space is empty."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import pytest
from support import sample
from systems import RECOMPILER

from xenon.hardware.cpu import Access, Cpu, Protection, Registers, Trap, TrapKind
from xenon.hardware.memory_map import PAGE_BYTES
from xenon.hardware.unicorn.engine_memory import engine_layout
from xenon.machine import Machine, MachineSettings
from xenon.recompiler.cpu_kind import CpuKind
from xenon.recompiler.outcome import Tier

pytestmark = [
    RECOMPILER,
    pytest.mark.skipif(engine_layout() is None, reason="here VR and XER go through a page of guest memory"),
]
CODE, SC, TRAP = 0x40000, 0x44000002, 0x7FE00008
VSPLTISW_V2_5, ADDIC_R6_R6_M1 = 0x1045038C, 0x30C6FFFF  # these change VR and XER
# -32768 to -28673: the ends of the page, and what would be XER and the stubs of an exchange page.
PLACES = [-32768, -32768 + 512, -32768 + 1024, -32768 + 2048, -32768 + 2312, -28676]


class Halted(Exception):
    pass


@dataclass
class Recorder:
    ends: list[tuple[Trap, Registers]] = field(default_factory=list)

    def serve(self, cpu: Cpu, trap: Trap) -> int:
        if trap.kind is TrapKind.SYSTEM_CALL:
            return trap.pc
        self.ends.append((trap, cpu.registers()))
        raise Halted


def end_of(words: list[int], kind: CpuKind, thread: int) -> tuple[Trap, Registers]:
    machine = Machine(MachineSettings(cpu=kind, threads=2))
    machine.memory.write(CODE, struct.pack(f">{len(words)}I", *words))
    machine.pages.map(CODE, PAGE_BYTES, Protection.READ | Protection.EXECUTE)
    if machine.recompiler is not None:
        assert machine.recompiler.compile(CODE).tier is Tier.COMPILED
    recorder = Recorder()
    with pytest.raises(Halted):
        machine.run(machine.cpus[thread], CODE, recorder)
    machine.stop()
    ((trap, registers),) = recorder.ends
    return trap, registers


@pytest.mark.parametrize("calls", [[], [SC]], ids=["first", "behind a system call"])
@pytest.mark.parametrize("access", list(Access))
@pytest.mark.parametrize("place", sample(PLACES, 3))
def test_an_access_at_the_end_of_the_address_space_faults(
    place: int, access: Access, calls: list[int]
) -> None:
    low = place & 0xFFFF
    how = {
        Access.READ: [0x80A00000 | low],  # lwz r5, place(0)
        Access.WRITE: [0x90A00000 | low],  # stw r5, place(0)
        Access.EXECUTE: [0x38A00000 | low, 0x7CA903A6, 0x4E800420],  # li r5, place; mtctr r5; bctr
    }[access]
    words = [VSPLTISW_V2_5, ADDIC_R6_R6_M1, *calls, *how, TRAP]
    trap, registers = end_of(words, CpuKind.RECOMPILER, thread=1)
    assert trap.kind is TrapKind.BAD_ADDRESS
    assert (trap.access, trap.address, trap.mapped) == (access, place & (1 << 64) - 1, False)
    expected = CODE + 4 * (2 + len(calls)) if access is not Access.EXECUTE else place & (1 << 64) - 1
    assert trap.pc == expected
    assert (trap, registers) == end_of(words, CpuKind.UNICORN, thread=1)

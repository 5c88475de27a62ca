"""Exceptions of the processor: to the vectors of a program that has put handlers there, and back by rfid.

PowerPC Book III 2.02, chapter 5. An exception goes to the physical address of its vector, in real mode; SRR0
and SRR1 keep where the program was, DAR and DSISR which access it was. FP and VEC stay on, where the
processor would clear them. An address where nothing is counts as one that translation does not find; silicon,
which translates nothing in real mode, may take a machine check instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from xenon.hardware.cpu import Access, Cpu, Trap, TrapKind
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import WORD_BYTES
from xenon.powerpc.isa import encoding
from xenon.xell.faults import BareProgramFault, is_nowhere


class Vector(IntEnum):
    """Where an exception goes."""

    DATA_STORAGE = 0x300
    INSTRUCTION_STORAGE = 0x400
    ALIGNMENT = 0x600
    PROGRAM = 0x700
    SYSTEM_CALL = 0xC00


DSISR, DAR, SRR0, SRR1 = 18, 19, 26, 27
_NUMBERS = (DSISR, DAR, SRR0, SRR1)
_NOT_FOUND, _STORE = 1 << 30, 1 << 25  # of DSISR; the first of SRR1 as well
_ILLEGAL, _TRAP = 1 << 19, 1 << 17  # of SRR1: bits 44 and 46
_REASONS = 0x783F_0000  # bits 33 to 36 and 42 to 47 of SRR1 say why
_OPCODE_EXTENDED = 31
_PROGRAM_REASONS = {
    TrapKind.ILLEGAL_INSTRUCTION: _ILLEGAL,
    TrapKind.UNAVAILABLE: _ILLEGAL,
    TrapKind.FOREIGN: _ILLEGAL,
    TrapKind.TRAP_INSTRUCTION: _TRAP,
}


@dataclass(slots=True)
class _Thread:
    """A hardware thread's registers of exceptions, and the fault that its handler is busy with."""

    registers: dict[int, int]
    fault: BareProgramFault | None = None


class Exceptions:
    """The exceptions of a machine's hardware threads."""

    def __init__(self, memory: UnifiedMemory, threads: int) -> None:
        self._memory = memory
        self._threads = [_Thread({}) for _ in range(threads)]

    @property
    def unhandled(self) -> BareProgramFault | None:
        """What a handler took and has not come back from."""
        return next((thread.fault for thread in self._threads if thread.fault is not None), None)

    def deliver(self, thread: int, cpu: Cpu, trap: Trap, msr: int, fault: BareProgramFault) -> int:
        """Take the exception that a trap stands for: the vector's address. Raises `fault` where the console
        has no such exception, where no handler is, and where the thread is in one already."""
        state = self._threads[thread]
        vector = _vector(trap)
        if vector is None or state.fault is not None or not self._has_handler(vector):
            raise fault
        state.registers.setdefault(DAR, 0)
        state.registers.setdefault(DSISR, 0)
        reason = _PROGRAM_REASONS.get(trap.kind, 0)
        if vector is Vector.INSTRUCTION_STORAGE:
            reason = _NOT_FOUND
        elif vector is Vector.DATA_STORAGE:
            state.registers[DAR] = trap.address
            state.registers[DSISR] = _NOT_FOUND | (_STORE if trap.access is Access.WRITE else 0)
        elif vector is Vector.ALIGNMENT:
            state.registers[DAR] = self._indexed_address(cpu, trap.pc)
        state.registers[SRR0], state.registers[SRR1] = trap.pc, msr & ~_REASONS | reason
        if vector is not Vector.SYSTEM_CALL:
            fault.hint = "the program's own handler has said more on the serial port"
            state.fault = fault
        return vector

    def has(self, thread: int, number: int) -> bool:
        """Whether this special register holds what an exception, or the program, has put there."""
        return number in self._threads[thread].registers

    def read(self, thread: int, number: int) -> int:
        """One of the special registers that `has` knows."""
        return self._threads[thread].registers[number]

    def write(self, thread: int, number: int, value: int) -> bool:
        """Set a special register, if it is one of exceptions."""
        if number not in _NUMBERS:
            return False
        self._threads[thread].registers[number] = value
        return True

    def can_return(self, thread: int) -> bool:
        """Whether there is something to return to."""
        return self.has(thread, SRR0) and self.has(thread, SRR1)

    def saved_msr(self, thread: int) -> int:
        """What rfid makes of MSR."""
        return self._threads[thread].registers[SRR1] & ~_REASONS

    def leave(self, thread: int) -> int:
        """rfid: the address to go on at."""
        self._threads[thread].fault = None
        return self._threads[thread].registers[SRR0] & -WORD_BYTES

    def _has_handler(self, vector: Vector) -> bool:
        """Whether there is code, which stale bytes are not."""
        return encoding(int.from_bytes(self._memory.read(vector, WORD_BYTES), "big")) is not None

    def _indexed_address(self, cpu: Cpu, pc: int) -> int:
        """The address of an access by two registers, as those that must be aligned are; else 0."""
        word = int.from_bytes(self._memory.read(pc, WORD_BYTES), "big")
        if word >> 26 != _OPCODE_EXTENDED:
            return 0
        base = word >> 16 & 31
        return ((cpu.read_gpr(base) if base else 0) + cpu.read_gpr(word >> 11 & 31)) & (1 << 64) - 1


def _vector(trap: Trap) -> Vector | None:
    if trap.kind is TrapKind.BAD_ADDRESS and is_nowhere(trap):
        return Vector.INSTRUCTION_STORAGE if trap.access is Access.EXECUTE else Vector.DATA_STORAGE
    if trap.kind in _PROGRAM_REASONS:
        return Vector.PROGRAM
    return {TrapKind.MISALIGNED: Vector.ALIGNMENT, TrapKind.SYSTEM_CALL: Vector.SYSTEM_CALL}.get(trap.kind)

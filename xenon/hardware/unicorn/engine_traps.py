"""Traps of an engine that has come to rest: what its exception numbers and the errors of its run mean."""

from __future__ import annotations

from unicorn import ppc_const as ppc
from unicorn.unicorn_py3.unicorn import Uc, UcError

from xenon.hardware.cpu import Cpu, Trap, TrapKind
from xenon.hardware.memory_map import WORD_BYTES, physical
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.device_windows import DeviceWindows
from xenon.hardware.unicorn.limit import InstructionLimit
from xenon.hardware.unicorn.refused_accesses import RefusedAccesses
from xenon.hardware.unicorn.registers import GPR_IDS, RegisterBatch
from xenon.powerpc.system import is_for_programs, is_of_float_unit, is_trap, traps

# Exception numbers of the engine (POWERPC_EXCP_* of qemu's target/ppc/cpu.h).
_VECTOR_ALIGNMENT, _VECTOR_PROGRAM, _VECTOR_SYSTEM_CALL = 5, 6, 8
VECTOR_ILLEGAL = 96
VECTOR_FLOAT_EXCEPTION = 0x700  # of what executes in the engine's place; the engine itself has none for it
_KINDS = {
    _VECTOR_ALIGNMENT: TrapKind.MISALIGNED,
    _VECTOR_PROGRAM: TrapKind.TRAP_INSTRUCTION,
    7: TrapKind.UNAVAILABLE,
    73: TrapKind.UNAVAILABLE,
    94: TrapKind.UNAVAILABLE,
    VECTOR_ILLEGAL: TrapKind.ILLEGAL_INSTRUCTION,
    VECTOR_FLOAT_EXCEPTION: TrapKind.FLOAT_EXCEPTION,
}


def misaligned(pc: int) -> Trap:
    """The trap of an access that must be aligned, for what executes in the engine's place."""
    return Trap(TrapKind.MISALIGNED, pc, vector=_VECTOR_ALIGNMENT)


class EngineTraps:
    """Makes the trap of each run of one engine. `cpu` is the CPU that the engine runs for."""

    def __init__(
        self,
        engine: Uc,
        pages: Pages,
        cpu: Cpu,
        devices: DeviceWindows,
        refused: RefusedAccesses,
        limit: InstructionLimit,
    ) -> None:
        self.vector = 0
        """The number of the exception that has ended the run, or 0; for who hears of it to set."""
        self.is_float_enabled = False
        """Whether enabled floating-point exceptions trap."""
        self._pages = pages
        self._cpu = cpu
        self._devices = devices
        self._refused = refused
        self._limit = limit
        self._stopped = RegisterBatch(engine, [ppc.UC_PPC_REG_PC, ppc.UC_PPC_REG_CR, *GPR_IDS[:9]])

    def trap(self, failure: UcError | None) -> Trap:
        """What has ended a run of the engine, which has raised `failure`; STOPPED if it only came to rest."""
        registers = self._stopped.read()
        pc = registers[0]
        if (device_trap := self._devices.trap(pc)) is not None:
            return device_trap
        if self._refused.trap is not None:
            return self._refused.trap
        if self.vector == _VECTOR_SYSTEM_CALL:
            return Trap(TrapKind.SYSTEM_CALL, pc, vector=self.vector, gpr=registers[2:], cr=registers[1])
        if self.vector == _VECTOR_PROGRAM and self._is_left_over(self._word(pc - WORD_BYTES)):
            return Trap(TrapKind.STOPPED, pc - WORD_BYTES)
        if self.vector or (failure is not None and not self._refused.not_shown):
            return self._exception(pc - WORD_BYTES)  # it has stepped over an instruction that it refuses
        if self._limit.is_reached:
            return Trap(TrapKind.INSTRUCTION_LIMIT, pc)
        return Trap(TrapKind.STOPPED, pc)

    def _exception(self, pc: int) -> Trap:
        """Of the instruction at `pc`. The engine has one program exception for three kinds."""
        kind = _KINDS.get(self.vector, TrapKind.EXCEPTION)
        if kind is TrapKind.TRAP_INSTRUCTION and not is_trap(word := self._word(pc)):
            kind = TrapKind.FLOAT_EXCEPTION if is_of_float_unit(word) else TrapKind.PRIVILEGED
        return Trap(kind, pc, vector=self.vector)

    def _is_left_over(self, word: int) -> bool:
        """Whether a program exception is not that of `word`, the instruction that has it.

        An FPSCR with an exception that it enables leaves one over in the engine, which takes it when it comes
        to rest next, at whatever instruction is next (qemu's target/ppc/fpu_helper.c, helper_store_fpscr).
        """
        if self.is_float_enabled and is_of_float_unit(word) and self._cpu.registers().has_enabled_exception:
            return False
        return not traps(word, self._cpu.read_gpr) if is_trap(word) else is_for_programs(word)

    def _word(self, address: int) -> int:
        """The instruction that was executed at an address."""
        return int.from_bytes(self._pages.memory.read(physical(address), WORD_BYTES), "big")

"""Bare metal as XeLL leaves it: a personality that executes privileged instructions, and nothing else."""

from __future__ import annotations

from xenon.hardware.bus import DeviceError
from xenon.hardware.cpu import Cpu, Trap, TrapKind
from xenon.hardware.memory_map import WORD_BYTES
from xenon.hardware.special_registers import SpecialRegisters
from xenon.machine import Machine
from xenon.powerpc import system
from xenon.powerpc.functions import Functions
from xenon.xell.exceptions import Exceptions
from xenon.xell.faults import fault_of_device, fault_of_trap

_MSR_BITS = {
    "SF": 1 << 63, "HV": 1 << 60, "VEC": 1 << 25, "ILE": 1 << 16, "EE": 1 << 15, "PR": 1 << 14, "FP": 1 << 13,
    "ME": 1 << 12, "FE0": 1 << 11, "SE": 1 << 10, "BE": 1 << 9, "FE1": 1 << 8, "IR": 1 << 5, "DR": 1 << 4,
    "PMM": 1 << 2, "RI": 1 << 1, "LE": 1,
}  # fmt: skip
_UNITS = _MSR_BITS["VEC"] | _MSR_BITS["FP"]
_SIXTY_FOUR_BIT = _MSR_BITS["SF"] | _MSR_BITS["HV"]
MSR_AT_ENTRY = _SIXTY_FOUR_BIT | _UNITS | _MSR_BITS["ME"]
_MAY_CHANGE = _MSR_BITS["ME"] | _MSR_BITS["RI"]
_LOW = 0xFFFF_FFFF
_ONLY_EE_AND_RI = 1 << 16  # of mtmsrd: the field L


class BareMetal:
    """The program `name` on a machine; `registers` are the special registers of its CPUs."""

    def __init__(
        self, machine: Machine, name: str, functions: Functions, registers: SpecialRegisters
    ) -> None:
        self._machine, self._name, self._functions = machine, name, functions
        self._registers = registers
        self._msr = [MSR_AT_ENTRY for _ in machine.cpus]
        self.exceptions = Exceptions(machine.memory, len(machine.cpus))

    def serve(self, cpu: Cpu, trap: Trap) -> int:
        """Execute a privileged instruction, or take an exception to the program's own handler. Raises
        BareProgramFault for any other trap, and ThreadSleeps."""
        pages = self._machine.pages
        thread = next(number for number, known in enumerate(self._machine.cpus) if known is cpu)
        if trap.kind is not TrapKind.PRIVILEGED:
            fault = fault_of_trap(self._name, self._functions, pages, thread, cpu, trap)
            return self.exceptions.deliver(thread, cpu, trap, self._msr[thread], fault)
        word = int.from_bytes(pages.memory.read(trap.pc, WORD_BYTES), "big")
        try:
            if word & system.FORM == system.RETURN and self.exceptions.can_return(thread):
                self._set_msr(thread, self.exceptions.saved_msr(thread), word)
                return self.exceptions.leave(thread)
            self._execute(cpu, thread, word)
        except DeviceError as error:
            raise fault_of_device(self._name, self._functions, pages, thread, cpu, trap.pc, error) from None
        return trap.pc + WORD_BYTES

    def _execute(self, cpu: Cpu, thread: int, word: int) -> None:
        form, target, number = word & system.FORM, word >> 21 & 31, system.special_register(word)
        if form == system.FROM_SPECIAL and self.exceptions.has(thread, number):
            cpu.write_gpr(target, self.exceptions.read(thread, number))
        elif form in (system.FROM_SPECIAL, system.FROM_TIME_BASE):
            cpu.write_gpr(target, self._registers.read(number, thread))
        elif form == system.TO_SPECIAL:
            if not self.exceptions.write(thread, number, cpu.read_gpr(target)):
                self._registers.write(number, cpu.read_gpr(target))
        elif form == system.FROM_MSR:
            cpu.write_gpr(target, self._msr[thread])
        elif form in (system.TO_MSR, system.TO_MSR_DOUBLEWORD):
            self._set_msr(thread, cpu.read_gpr(target), word)
        else:
            raise DeviceError("CPU", f"{system.named(word)}: translation and interrupts have no model")

    def _set_msr(self, thread: int, value: int, word: int) -> None:
        """Only machine checks and RI may change: the engine stays in 64-bit real mode with its units on."""
        before = self._msr[thread]
        if word & _ONLY_EE_AND_RI:
            changing = _MSR_BITS["EE"] | _MSR_BITS["RI"]
            value = before & ~changing | value & changing
        elif word & system.FORM == system.TO_MSR:
            value = before & ~_LOW | value & _LOW
        value |= _MSR_BITS["HV"]  # which neither instruction changes
        if wrong := (value ^ before) & ~_MAY_CHANGE:
            names = [name for name, bit in _MSR_BITS.items() if wrong & bit]
            shown = ", ".join(names) or f"bits 0x{wrong:x}"
            raise DeviceError(
                "CPU",
                f"{system.named(word)} changes {shown} of MSR: the console has no model of that",
                "stay in 64-bit real mode with FP and VEC on, without interrupts",
            )
        self._msr[thread] = value

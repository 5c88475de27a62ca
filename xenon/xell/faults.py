"""Faults of a program without an operating system: one line that names the cause, and a report."""

from __future__ import annotations

from xenon.errors import ErrorCode, XenonError
from xenon.hardware.bus import DeviceError
from xenon.hardware.cpu import Access, Cpu, Trap, TrapKind
from xenon.hardware.memory_map import RAM_BYTES, Range
from xenon.hardware.pages import Pages
from xenon.powerpc.abi import INSTRUCTION_BYTES
from xenon.powerpc.foreign import RefusedWord, refused_word
from xenon.powerpc.functions import Functions
from xenon.xell.layout import CACHED_VIEW
from xenon.xell.loading import STALE

_REAL_ADDRESS = (1 << 62) - 1  # bits 2 to 63; the two above say how it was made
_WHOLE_VIEWS = 1 << 32
_REFUSED = (TrapKind.ILLEGAL_INSTRUCTION, TrapKind.UNAVAILABLE, TrapKind.FOREIGN)

# What is at other real addresses (xenon.dts; libxenon vm.c), the narrower first.
_DEVICES = (
    Range("the interrupt controller", 0x200_0005_0000, 0x6000),
    Range("the system on chip", 0x200_0000_0000, 0x8000_0000),
    Range("flash", 0x200_C800_0000, 0x0400_0000),
    Range("PCI configuration space", 0x200_D000_0000, 0x1000_0000),
    Range("the GPU", 0x200_EC80_0000, 0x0010_0000),
    Range("the southbridge", 0x200_EA00_0000, 0x0100_0000),
    Range("PCI space", 0x200_8000_0000, 0x8000_0000),
)


class BareProgramFault(XenonError):
    """The program is at fault, or uses a device that the console has no model of. `report` has several
    lines."""

    code = ErrorCode.GUEST_FAULT

    def __init__(self, message: str, report: str, hint: str = "", refused: RefusedWord | None = None) -> None:
        """`refused` is an instruction that was not executed."""
        if refused is not None and refused.fields:
            super().__init__(message, hint, ErrorCode.FOREIGN_INSTRUCTION, **refused.fields)
        else:
            super().__init__(message, hint)
        self.report = report


def fault_of_trap(
    name: str, functions: Functions, pages: Pages, thread: int, cpu: Cpu, trap: Trap
) -> BareProgramFault:
    """The fault that a trap of a hardware thread stands for; `name` is the program's."""
    what, hint = _cause(pages, trap)
    refused = refused_word(_word(pages, trap.pc)) if trap.kind in _REFUSED else None
    registers = cpu.registers()
    on = f" on hardware thread {thread}"
    places = {"PC": trap.pc, "LR": registers.lr}
    named = {register: _place(functions, address) for register, address in places.items()}
    lines = [f"{what}{on}", *(f"  {register}  {place}" for register, place in named.items()), ""]
    lines += registers.lines()
    where = ", ".join(f"{register} {place}" for register, place in named.items())
    return BareProgramFault(f"{name}: {what}{on} ({where})", "\n".join(lines), hint, refused)


def fault_of_device(
    name: str, functions: Functions, pages: Pages, thread: int, cpu: Cpu, pc: int, error: DeviceError
) -> BareProgramFault:
    """The fault of an access that a unit of the console refuses."""
    trap = Trap(TrapKind.DEVICE, pc, detail=str(error), hint=error.hint)
    return fault_of_trap(name, functions, pages, thread, cpu, trap)


def _cause(pages: Pages, trap: Trap) -> tuple[str, str]:
    """What has happened, and what to do."""
    if trap.kind is TrapKind.DEVICE:
        return trap.detail, trap.hint
    if trap.kind is TrapKind.BAD_ADDRESS:
        return _bad_address(trap)
    if trap.kind is TrapKind.SYSTEM_CALL:
        return "sc: there is no operating system to call", "xenon-llm run runs programs for Linux"
    if trap.kind in _REFUSED:
        word = _word(pages, trap.pc)
        if word == int.from_bytes(STALE, "big"):
            return f"jump to 0x{trap.pc:x}: stale bytes, where nobody has written code", ""
        refused = refused_word(word)
        return refused.what, refused.remedy
    return trap.kind.value, ""


def _word(pages: Pages, address: int) -> int:
    """The instruction at an address that a CPU has executed."""
    return int.from_bytes(pages.memory.read(address & RAM_BYTES - 1, INSTRUCTION_BYTES), "big")


def is_nowhere(trap: Trap) -> bool:
    """Whether neither RAM nor a device, with a model or without one, is at the address of a BAD_ADDRESS."""
    real = trap.address & _REAL_ADDRESS
    return real >= RAM_BYTES and _device(real) is None and not trap.mapped


def _device(real: int) -> Range | None:
    return next((device for device in _DEVICES if device.start <= real < device.end), None)


def _bad_address(trap: Trap) -> tuple[str, str]:
    access = trap.access or Access.READ
    what = f"{access.value} of {trap.size} byte{'s' * (trap.size != 1)} at 0x{trap.address:x}"
    if access is Access.EXECUTE:
        what = f"jump to 0x{trap.address:x}"
    real = trap.address & _REAL_ADDRESS
    if (device := _device(real)) is not None:
        return f"{what}: {device.purpose}, which this console has no model of", ""
    if CACHED_VIEW <= trap.address < _WHOLE_VIEWS:
        return (
            f"{what}: there are no views of RAM in real mode",
            f"use the physical address 0x{trap.address & RAM_BYTES - 1:x}",
        )
    if trap.mapped:
        return f"{what}: registers of a device", ""
    if real < RAM_BYTES:
        return (
            f"{what}: RAM with the top bits of the address set",
            "leave them out: the console has no model of that",
        )
    return f"{what}: RAM ends at 0x{RAM_BYTES:x}", ""


def _place(functions: Functions, address: int) -> str:
    function = functions.describe(address)
    return f"0x{address:08x}" + (f", {function}" if function else "")

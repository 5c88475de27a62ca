"""Faults of a program: one line for the error, and a report with registers, code and callers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from xenon.errors import ErrorCode, XenonError
from xenon.hardware.cpu import Access, Cpu, Registers, Trap, TrapKind
from xenon.hardware.memory_map import in_units, physical
from xenon.hardware.special_registers import special_register_name
from xenon.linux.layout import PROGRAM
from xenon.linux.loading import STACK_GUARD_BYTES
from xenon.linux.process import Process, Refusal
from xenon.linux.uapi import Signal, float_exception
from xenon.powerpc.abi import INSTRUCTION_BYTES, saved_links
from xenon.powerpc.disassembly import disassemble
from xenon.powerpc.foreign import RefusedWord, refused_word
from xenon.powerpc.functions import Functions
from xenon.powerpc.system import FORM, FROM_SPECIAL, TO_SPECIAL, named, special_register

_SHOWN_AROUND = 5  # instructions before and after the one at fault
_MOST_CALLERS = 32
_REFUSED = (TrapKind.ILLEGAL_INSTRUCTION, TrapKind.UNAVAILABLE, TrapKind.FOREIGN)


class GuestFault(XenonError):
    """The program is at fault. `report` has several lines: registers, code around the PC, callers."""

    code = ErrorCode.GUEST_FAULT

    def __init__(
        self,
        message: str,
        report: str,
        hint: str = "",
        signal: int | None = None,
        refused: RefusedWord | None = None,
    ) -> None:
        """`signal` is the number of the signal by which the program ended itself, if it did; `refused` is an
        instruction that was not executed."""
        if signal is not None:
            super().__init__(message, hint, ErrorCode.GUEST_SIGNAL, signal=signal)
        elif refused is not None and refused.fields:
            super().__init__(message, hint, ErrorCode.FOREIGN_INSTRUCTION, **refused.fields)
        else:
            super().__init__(message, hint)
        self.report = report


def fault_of_trap(process: Process, thread: int, cpu: Cpu, trap: Trap) -> GuestFault:
    """The fault that a trap of this hardware thread's CPU stands for."""
    hint = ""
    if trap.kind is TrapKind.BAD_ADDRESS:
        what, hint = _bad_address(process, trap)
    elif trap.kind in _REFUSED:
        refused = refused_word(_word(process, trap.pc))
        return _build(process, thread, cpu, trap.pc, refused.what, refused.remedy, refused=refused)
    elif trap.kind is TrapKind.PRIVILEGED:
        what = f"{_privileged(_word(process, trap.pc))}, which the operating system alone may execute"
        hint = "xenon-llm boot runs programs without one"
    elif trap.kind is TrapKind.TRAP_INSTRUCTION:
        what = "trap instruction (a check that the compiler put in, or __builtin_trap)"
    elif trap.kind is TrapKind.FLOAT_EXCEPTION:
        exception = float_exception(cpu.registers().fpscr)
        what = f"floating-point exception that the program has enabled: {exception}"
        return _build(process, thread, cpu, trap.pc, what, "", Signal.SIGFPE)
    elif trap.kind is TrapKind.MISALIGNED:
        what = "misaligned address for an instruction that needs an aligned one"
    elif trap.kind is TrapKind.DEVICE:
        return _build(process, thread, cpu, trap.pc, trap.detail, trap.hint, at_fault="")
    else:
        what = f"{trap.kind.value} {trap.vector}"
    return _build(process, thread, cpu, trap.pc, what, hint)


def fault_of_refusal(process: Process, thread: int, cpu: Cpu, trap: Trap, refusal: Refusal) -> GuestFault:
    """The fault of a refused system call; its PC is that of the `sc` instruction."""
    pc = trap.pc - INSTRUCTION_BYTES
    return _build(process, thread, cpu, pc, refusal.message, refusal.hint, refusal.signal)


def _word(process: Process, address: int) -> int:
    """The instruction at an address that a CPU has executed."""
    return int.from_bytes(process.space.read(address, INSTRUCTION_BYTES), "big")


def _privileged(word: int) -> str:
    """A privileged instruction with the special register it is for, if any."""
    if word & FORM not in (FROM_SPECIAL, TO_SPECIAL):
        return named(word)
    return f"{named(word)} of {special_register_name(special_register(word))}"


def _bad_address(process: Process, trap: Trap) -> tuple[str, str]:
    stack = process.loaded.stack
    access = trap.access or Access.READ
    if access is Access.EXECUTE:
        what = f"jump to 0x{trap.address:x}"
    else:
        what = f"{access.value} of {trap.size} byte{'s' * (trap.size != 1)} at 0x{trap.address:x}"
    if stack.address - STACK_GUARD_BYTES <= trap.address < stack.address + STACK_GUARD_BYTES:
        size = in_units(stack.size - STACK_GUARD_BYTES)
        return (
            f"stack overflow: {what}, below the stack of {size}",
            "link with a larger one: -Wl,-z,stack-size=BYTES",
        )
    if trap.mapped:
        allowed = process.space.protection_at(physical(trap.address))
        if allowed is None:
            return f"{what}: registers of a device, no memory", ""
        rights = (allowed.name or "").lower().replace("|", "+") if allowed else "not for any access"
        return f"{what}: the page is {rights}{' only' if allowed else ''}", ""
    if trap.address < PROGRAM.start:
        return f"{what}: null pointer", ""
    return f"{what}: not mapped", ""


def _build(
    process: Process,
    thread: int,
    cpu: Cpu,
    pc: int,
    what: str,
    hint: str,
    signal: int | None = None,
    refused: RefusedWord | None = None,
    at_fault: str | None = None,
) -> GuestFault:
    """The message begins with `at_fault`, by default with the program's name; a device names itself."""
    program = process.loaded.program
    what = f"{program.name}: {what}" if at_fault is None else at_fault + what
    functions = program.functions(process.loaded.base)
    registers = cpu.registers()
    on = f" on hardware thread {thread}" if thread else ""
    place = _place(functions, pc)
    lines = [
        f"{what}{on}",
        f"  PC  {place}",
        f"  LR  {_place(functions, registers.lr)}",
        "",
        *registers.lines(),
        "",
        *_code_lines(process, functions, pc),
        "",
        "callers:",
        *_caller_lines(process, functions, registers),
    ]
    where = f"PC {place}" if functions.at(pc) else f"PC {place}, LR {_place(functions, registers.lr)}"
    message = f"{what}{on} ({where.replace('  ', ', ')})"
    return GuestFault(message, "\n".join(lines), hint, signal, refused)


def _place(functions: Functions, address: int) -> str:
    name = functions.describe(address)
    return f"0x{address:08x}" + (f"  {name}" if name else "")


def _code_lines(process: Process, functions: Functions, pc: int) -> Iterator[str]:
    around = _SHOWN_AROUND * INSTRUCTION_BYTES
    pc &= -INSTRUCTION_BYTES
    addresses = [
        address
        for address in range(pc - around, pc + around + 1, INSTRUCTION_BYTES)
        if process.space.readable(address, INSTRUCTION_BYTES)
    ]
    if not addresses:
        yield f"no code at 0x{pc:x}"
        return
    yield f"code of {functions.describe(pc) or 'an unnamed place'}:"
    for address in addresses:
        for _, word, text in disassemble(process.space.read(address, INSTRUCTION_BYTES), address):
            yield f"  {'->' if address == pc else '  '} {address:08x}  {word:08x}  {text}"


def _caller_lines(process: Process, functions: Functions, registers: Registers) -> Iterator[str]:
    """The callers, along the chain of stack frames as far as it leads upwards through readable memory."""

    def read(address: int, size: int) -> bytes | None:
        return process.space.read(address, size) if process.space.readable(address, size) else None

    links = saved_links(read, registers.gpr[1], process.loaded.stack_pointer)
    callers = list(islice(filter(None, links), _MOST_CALLERS))
    yield from (f"  {_place(functions, address)}" for address in callers)
    if not callers:
        yield "  none found"

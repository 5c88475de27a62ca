"""What a program did wrong, told so that its author finds the place: one line, and a report for reading."""

from __future__ import annotations

from collections.abc import Iterator

from xenon.errors import ErrorCode, XenonError
from xenon.hardware.cpu import Access, Cpu, Registers, Trap, TrapKind
from xenon.hardware.memory_map import PROGRAM, in_units
from xenon.linux.loading import STACK_GUARD_BYTES
from xenon.linux.process import Process, Refusal
from xenon.linux.symbols import Symbols
from xenon.powerpc.disassembly import WORD_BYTES, disassemble

_SHOWN_AROUND = 5  # instructions before and after the one at fault
_MOST_FRAMES = 32
_RETURN_ADDRESS = 16  # in a stack frame, above the pointer to the caller's frame (ELF ABI)


class GuestFault(XenonError):
    """The program is at fault. Its report has several lines: registers, code around the place, callers."""

    code = ErrorCode.GUEST_FAULT

    def __init__(self, message: str, report: str, hint: str = "", signal: int | None = None) -> None:
        """`signal` is the number of the signal by which the program ended itself, if it did."""
        if signal is None:
            super().__init__(message, hint)
        else:
            super().__init__(message, hint, ErrorCode.GUEST_SIGNAL, signal=signal)
        self.report = report


def fault_of_trap(process: Process, thread: int, cpu: Cpu, trap: Trap) -> GuestFault:
    """The fault that a trap is, on this hardware thread."""
    hint = ""
    if trap.kind is TrapKind.BAD_ADDRESS:
        what, hint = _bad_address(process, trap)
    elif trap.kind in (TrapKind.ILLEGAL_INSTRUCTION, TrapKind.UNAVAILABLE):
        code = (
            process.space.memory.read(trap.pc, WORD_BYTES)
            if process.space.readable(trap.pc, WORD_BYTES)
            else b""
        )
        what = f"{trap.kind.value} 0x{code.hex()}" if code else trap.kind.value
        hint = "build for the console's processor: -mcpu=970 -mno-vsx"
    elif trap.kind is TrapKind.TRAP_INSTRUCTION:
        what = "trap instruction (a check that the compiler put in, or __builtin_trap)"
    elif trap.kind is TrapKind.MISALIGNED:
        what = "misaligned address for an instruction that needs an aligned one"
    elif trap.kind is TrapKind.DEVICE:
        return _build(process, thread, cpu, trap.pc, trap.detail, trap.hint, None, at_fault="")
    else:
        what = f"{trap.kind.value} {trap.vector}"
    return _build(process, thread, cpu, trap.pc, what, hint, None)


def fault_of_refusal(process: Process, thread: int, cpu: Cpu, trap: Trap, refusal: Refusal) -> GuestFault:
    """The fault of a system call that the kernel refuses; the place is the `sc` instruction."""
    pc = trap.pc - WORD_BYTES
    return _build(process, thread, cpu, pc, refusal.message, refusal.hint, refusal.signal)


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
        allowed = process.space.protection_at(trap.address)
        return f"{what}: the page is {allowed.name if allowed else 'not mapped'} only".lower().replace(
            "|", "+"
        ), ""
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
    signal: int | None,
    at_fault: str | None = None,
) -> GuestFault:
    """`at_fault` begins the message, the program's name by default; a device's words begin with its own."""
    program = process.loaded.program
    what = f"{program.name}: {what}" if at_fault is None else at_fault + what
    symbols = Symbols(program, process.loaded.base)
    registers = cpu.registers()
    on = f" on hardware thread {thread}" if thread else ""
    place = _place(symbols, pc)
    lines = [
        f"{what}{on}",
        f"  PC  {place}",
        f"  LR  {_place(symbols, registers.lr)}",
        "",
        *_register_lines(registers),
        "",
        *_code_lines(process, symbols, pc),
        "",
        "callers:",
        *_caller_lines(process, symbols, registers),
    ]
    where = f"PC {place}" if symbols.at(pc) else f"PC {place}, LR {_place(symbols, registers.lr)}"
    message = f"{what}{on} ({where.replace('  ', ', ')})"
    return GuestFault(message, "\n".join(lines), hint, signal)


def _place(symbols: Symbols, address: int) -> str:
    name = symbols.describe(address)
    return f"0x{address:08x}" + (f"  {name}" if name else "")


def _register_lines(registers: Registers) -> Iterator[str]:
    for row in range(8):
        numbers = (row, row + 8, row + 16, row + 24)
        yield "  " + "  ".join(f"r{number:<2} {registers.gpr[number]:016x}" for number in numbers)
    yield f"  CR  {registers.cr:08x}  CTR {registers.ctr:016x}  FPSCR {registers.fpscr:08x}"


def _code_lines(process: Process, symbols: Symbols, pc: int) -> Iterator[str]:
    around = _SHOWN_AROUND * WORD_BYTES
    pc &= -WORD_BYTES
    places = [
        place
        for place in range(pc - around, pc + around + 1, WORD_BYTES)
        if process.space.readable(place, WORD_BYTES)
    ]
    if not places:
        yield f"no code at 0x{pc:x}"
        return
    yield f"code of {symbols.describe(pc) or 'an unnamed place'}:"
    for place in places:
        for address, word, text in disassemble(process.space.read(place, WORD_BYTES), place):
            yield f"  {'->' if address == pc else '  '} {address:08x}  {word:08x}  {text}"


def _caller_lines(process: Process, symbols: Symbols, registers: Registers) -> Iterator[str]:
    """Along the chain of stack frames, as far as it leads upwards through readable memory."""
    shown = 0
    frame = registers.gpr[1]
    while shown < _MOST_FRAMES and frame % 8 == 0 and process.space.readable(frame, 8):
        above = int.from_bytes(process.space.read(frame, 8))
        if not frame < above < process.loaded.stack_pointer or not process.space.readable(
            above + _RETURN_ADDRESS, 8
        ):
            break
        address = int.from_bytes(process.space.read(above + _RETURN_ADDRESS, 8))
        if address:
            yield f"  {_place(symbols, address)}"
            shown += 1
        frame = above
    if not shown:
        yield "  none found"

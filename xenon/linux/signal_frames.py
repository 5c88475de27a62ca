"""Handlers of signals that an instruction raises: the frame on the program's stack, and the way back from it.

The layout is that of Linux on ppc64 (arch/powerpc/kernel/signal_64.c, asm/sigcontext.h). The console maps no
code for a handler to return to: it returns to an address where nothing is, and that trap is the system call
rt_sigreturn. v32 to v127 of VMX128, which Linux does not know, stay as they are.
"""

from __future__ import annotations

import struct

from xenon.hardware.cpu import Cpu
from xenon.linux.process import Process
from xenon.linux.uapi import SIGACTION_BYTES, SIGNAL_DEFAULT, SIGNAL_IGNORE

RETURN_ADDRESS = 0x8000
"""What a handler finds in LR: in the guard of the null pointer."""

_INFORMATION, _NO_DEFER, _RESET = 4, 0x4000_0000, 0x8000_0000  # SA_SIGINFO, SA_NODEFER, SA_RESETHAND
_CALLER_BYTES = 128  # of a stack frame for the handler's caller: __SIGNAL_FRAMESIZE
_RED_ZONE = 512  # bytes below r1 that belong to the program
_ALIGNMENT = 16

# From the frame's start: struct ucontext, whose end is struct sigcontext.
_MASK, _CONTEXT, _SIGNAL, _REGISTERS_AT = 40, 168, 200, 224
_GENERAL, _FLOAT, _VECTORS_AT, _VECTORS = 232, 616, 880, 896
_POINTERS, _INFO = 1736, 1752
_SIZE = 1880
_NIP, _SPECIAL = 32, ("pc", "msr", "r3", "ctr", "lr", "xer", "cr")  # behind r0 to r31 in struct pt_regs
_RESTORED = ("pc", "ctr", "lr", "xer", "cr")
_TRAP = 40
_PROGRAM_EXCEPTION = 0x700
_FLOATS = (*(f"f{number}" for number in range(32)), "fpscr")
_GENERALS = tuple(f"r{number}" for number in range(32))
_VECTOR_NAMES = tuple(f"vr{number}" for number in range(32))
_VSCR, _VRSAVE = _VECTORS + 16 * 32 + 12, _VECTORS + 16 * 33


def has_handler(process: Process, signal: int) -> bool:
    """Whether a signal that an instruction raises goes to the program: not where it is blocked."""
    is_blocked = process.signal_mask >> signal - 1 & 1
    return not is_blocked and process.handler_of(signal) not in (SIGNAL_DEFAULT, SIGNAL_IGNORE)


def deliver(process: Process, cpu: Cpu, pc: int, signal: int, code: int) -> int:
    """Put a frame on the stack of a CPU that rests at `pc`, and return where its handler begins. `code` is
    the signal's si_code. Raises GuestError for a stack that cannot be written to."""
    handler, flags, _, mask = _words(process.signal_actions[signal])
    registers = cpu.all_registers() | {"pc": pc}
    frame = (registers["r1"] - _RED_ZONE - _SIZE) & -_ALIGNMENT
    stack = frame - _CALLER_BYTES
    process.space.write(frame, _frame(registers, frame, process.signal_mask, signal, handler, code))
    process.space.write(stack, struct.pack(">Q", registers["r1"]))
    toc = None
    entry = handler
    if process.loaded.toc:  # ABI v1: a descriptor
        entry, toc = _words(process.space.read(handler, 16))
    with process.lock:
        process.signal_mask |= mask | (0 if flags & _NO_DEFER else 1 << signal - 1)
        if flags & _RESET:
            process.signal_actions[signal] = bytes(SIGACTION_BYTES)
        process.has_run_handler = True
    context = (frame + _INFO, frame) if flags & _INFORMATION else (frame + _CONTEXT, frame)
    after = {"r1": stack, "r3": signal, "r4": context[0], "r5": context[1], "r6": frame, "r12": handler}
    if toc is not None:
        after["r2"] = toc
    for name, value in (after | {"lr": RETURN_ADDRESS, "fpscr": 0}).items():
        cpu.write_register(name, value)
    return entry


def come_back(process: Process, cpu: Cpu) -> int:
    """What rt_sigreturn does: restore what the handler's frame holds; the address to go on at. Raises
    GuestError for a frame that cannot be read."""
    before = cpu.all_registers()
    data = process.space.read(before["r1"] + _CALLER_BYTES, _SIZE)
    with process.lock:
        (process.signal_mask,) = _words(data[_MASK : _MASK + 8])
    general = _words(data[_GENERAL:_FLOAT])
    special = dict(zip(_SPECIAL, general[_NIP:], strict=False))
    after = dict(zip(_GENERALS, general, strict=False)) | {name: special[name] for name in _RESTORED}
    after |= dict(zip(_FLOATS, _words(data[_FLOAT:_VECTORS_AT]), strict=True))
    for number, name in enumerate(_VECTOR_NAMES):
        after[name] = int.from_bytes(data[_VECTORS + 16 * number :][:16], "big")
    after["vscr"] = int.from_bytes(data[_VSCR : _VSCR + 4], "big")
    after["vrsave"] = int.from_bytes(data[_VRSAVE : _VRSAVE + 4], "big")
    pc = after.pop("pc")
    after["xer"] &= 0xFFFF_FFFF
    for name, value in after.items():
        if before[name] != value:
            cpu.write_register(name, value)
    return pc & -4


def _words(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(data) // 8}Q", data)


def _frame(registers: dict[str, int], frame: int, mask: int, signal: int, handler: int, code: int) -> bytes:
    data = bytearray(_SIZE)
    struct.pack_into(">Q", data, _MASK, mask)
    struct.pack_into(">i4xQ", data, _SIGNAL, signal, handler)
    struct.pack_into(">Q", data, _REGISTERS_AT, frame + _GENERAL)
    general = [registers[name] for name in (*_GENERALS, *_SPECIAL)]
    struct.pack_into(f">{len(general)}Q", data, _GENERAL, *general)
    struct.pack_into(">Q", data, _GENERAL + 8 * _TRAP, _PROGRAM_EXCEPTION)
    struct.pack_into(">33Q", data, _FLOAT, *(registers[name] for name in _FLOATS))
    struct.pack_into(">Q", data, _VECTORS_AT, frame + _VECTORS)
    for number, name in enumerate(_VECTOR_NAMES):
        data[_VECTORS + 16 * number : _VECTORS + 16 * number + 16] = registers[name].to_bytes(16, "big")
    struct.pack_into(">I", data, _VSCR, registers["vscr"])
    struct.pack_into(">I", data, _VRSAVE, registers["vrsave"])
    struct.pack_into(">2Q", data, _POINTERS, frame + _INFO, frame)
    struct.pack_into(">iii4xQ", data, _INFO, signal, 0, code, registers["pc"])
    return bytes(data)

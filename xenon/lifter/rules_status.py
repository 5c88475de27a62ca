"""Instructions on FPSCR itself, and floating-point forms with a dot, which copy its first bits to CR1.

What changes the rounding mode or enables an exception is left to the interpreter: compiled code is entered
only where neither is so.
"""

from __future__ import annotations

from xenon.lifter import layout
from xenon.lifter.fpscr import (
    EXCEPTIONS,
    FEX,
    FX,
    MODES,
    VX,
    place_of_fpscr,
    resolve,
    summarised,
    with_exceptions,
)
from xenon.lifter.ir_types import DOUBLE, I64, POINTER
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
from xenon.lifter.rules_float import RULES as FLOAT_RULES
from xenon.lifter.rules_float import exactly
from xenon.lifter.status_forms import NOTING
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction

RULES = Rules()
_MOVES = ("fmr", "fneg", "fabs", "fnabs", "fsel")


def _status(lifter: Lifter) -> Value:
    """FPSCR with the exceptions of all that was executed before. Where the interpreter has it at a place
    that is not known, the instruction is left to it."""
    lifter.leave_unless(lifter.read(POINTER, lifter.field(layout.ENGINE_FPSCR)).is_not_null())
    lifter.emit("call void @note_exceptions(ptr %state)")
    lifter.emit("call void @clear_exceptions()")
    if lifter.target.shows_status and not lifter.keeps_status:
        resolve(lifter)
    return lifter.read(I64, place_of_fpscr(lifter))


def _change(lifter: Lifter, instruction: Instruction, before: Value, after: Value) -> None:
    lifter.leave_unless(((before ^ after) & MODES).icmp("eq", 0))
    lifter.write(after, place_of_fpscr(lifter))
    _copy(lifter, instruction, after)


def _copy(lifter: Lifter, instruction: Instruction, status: Value) -> None:
    """CR1 of a form with a dot: FX, FEX, VX and OX."""
    if instruction.mnemonic.endswith("."):
        for bit in range(4):
            lifter.set_bit(4 + bit, (status & 1 << 31 - bit).icmp("ne", 0))


@RULES.add(" ".join(f"{name}." for name in sorted(NOTING) if not name.startswith("fcmp")))
def _arithmetic(lifter: Lifter, instruction: Instruction) -> None:
    exactly(lifter, instruction)
    _copy(lifter, instruction, _noted(lifter))


@RULES.add(" ".join(f"{name}." for name in _MOVES))
def _move(lifter: Lifter, instruction: Instruction) -> None:
    plain = instruction._replace(mnemonic=instruction.mnemonic[:-1])
    FLOAT_RULES[plain.mnemonic](lifter, plain)
    _copy(lifter, instruction, _noted(lifter))


def _noted(lifter: Lifter) -> Value:
    lifter.emit("call void @note_exceptions(ptr %state)")
    return lifter.read(I64, place_of_fpscr(lifter))


@RULES.add("mffs mffs.")
def _read(lifter: Lifter, instruction: Instruction) -> None:
    status = _status(lifter)
    lifter.set_double(instruction.rt, status.bitcast(DOUBLE))
    _copy(lifter, instruction, status)


@RULES.add("mtfsf mtfsf.")
def _write(lifter: Lifter, instruction: Instruction) -> None:
    chosen = instruction.bits(7, 8)
    mask = sum(0xF << 28 - 4 * field for field in range(8) if chosen >> 7 - field & 1)
    value = lifter.double(instruction.rb, exact=True).bitcast(I64)
    before = _status(lifter)
    _change(lifter, instruction, before, summarised((before & ~mask) | (value & mask)))


@RULES.add("mtfsfi mtfsfi.")
def _write_field(lifter: Lifter, instruction: Instruction) -> None:
    shift = 28 - 4 * instruction.bf
    before = _status(lifter)
    after = summarised((before & ~(0xF << shift)) | instruction.bits(16, 4) << shift)
    _change(lifter, instruction, before, after)


@RULES.add("mtfsb0 mtfsb0.")
def _clear_bit(lifter: Lifter, instruction: Instruction) -> None:
    before = _status(lifter)
    _change(lifter, instruction, before, summarised(before & ~(1 << 31 - instruction.rt)))


@RULES.add("mtfsb1 mtfsb1.")
def _set_bit(lifter: Lifter, instruction: Instruction) -> None:
    """FEX and VX cannot be set; an exception sets FX, too."""
    before, bit = _status(lifter), 1 << 31 - instruction.rt & ~(FEX | VX)
    is_exception = bit & EXCEPTIONS
    after = with_exceptions(before, before.like(bit)) if is_exception else summarised(before | bit)
    _change(lifter, instruction, before, after)


@RULES.add("mcrfs")
def _move_field(lifter: Lifter, instruction: Instruction) -> None:
    """A field to CR; the exceptions in it are cleared."""
    source = instruction.bits(11, 3)
    before = _status(lifter)
    for bit in range(4):
        lifter.set_bit(4 * instruction.bf + bit, (before & 1 << 31 - 4 * source - bit).icmp("ne", 0))
    cleared = 0xF << 28 - 4 * source & (EXCEPTIONS | FX)
    lifter.write(summarised(before & ~cleared), place_of_fpscr(lifter))

"""Traps, VRSAVE, and instructions that only the console's pipeline notices."""

from __future__ import annotations

from xenon.lifter import layout
from xenon.lifter.ir_types import BIT, I64, POINTER
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction

RULES = Rules()

_TRAPS = ((16, "slt"), (8, "sgt"), (4, "eq"), (2, "ult"), (1, "ugt"))
"""Bits of TO, and the comparisons that they ask for."""


@RULES.add("tw twi td tdi")
def _trap(lifter: Lifter, instruction: Instruction) -> None:
    """The interpreter traps."""
    register = lifter.gpr if instruction.mnemonic.startswith("td") else lifter.low_word
    a = register(instruction.ra)
    b = a.like(instruction.si) if instruction.mnemonic.endswith("i") else register(instruction.rb)
    traps = lifter.constant(BIT, False)
    for bit, predicate in _TRAPS:
        if instruction.rt & bit:
            traps = traps | a.icmp(predicate, b)
    lifter.leave_unless(~traps)


def _vrsave(lifter: Lifter) -> Value:
    """A pointer to the interpreter's VRSAVE; where that is not known, the instruction is left to it."""
    place = lifter.read(POINTER, lifter.field(layout.ENGINE_VRSAVE))
    lifter.leave_unless(place.is_not_null())
    return place


@RULES.add("mfvrsave")
def _read_vrsave(lifter: Lifter, instruction: Instruction) -> None:
    lifter.set_gpr(instruction.rt, lifter.read(I64, _vrsave(lifter)))


@RULES.add("mtvrsave")
def _write_vrsave(lifter: Lifter, instruction: Instruction) -> None:
    """32 bits."""
    lifter.write(lifter.gpr(instruction.rt) & 0xFFFF_FFFF, _vrsave(lifter))


@RULES.add("icbi cctpl cctpm cctph db8cyc db10cyc db12cyc db16cyc")
def _nothing(_lifter: Lifter, _instruction: Instruction) -> None:
    """Priorities and waits of hardware threads; hardware/pages.py lets no stale code be executed."""

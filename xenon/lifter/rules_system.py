"""Traps, and instructions that only the console's pipeline notices."""

from __future__ import annotations

from xenon.lifter.ir_types import BIT
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
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


@RULES.add("icbi cctpl cctpm cctph db8cyc db10cyc db12cyc db16cyc")
def _nothing(_lifter: Lifter, _instruction: Instruction) -> None:
    """Priorities and waits of hardware threads; hardware/pages.py lets no stale code be executed."""

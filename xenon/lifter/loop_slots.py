"""The stack slots that loops need besides registers: what their heads (loops.py) leave for their rounds
(loop_rounds.py), and the other way round."""

from __future__ import annotations

from xenon.lifter.ir_types import BIT, I64
from xenon.lifter.lift import Lifter
from xenon.lifter.slots import MOST_WIDE, wide
from xenon.lifter.speculate import BAD, least_slots
from xenon.lifter.streams import Placed

ROUNDS, ROUNDS_BEFORE = "rounds", "rounds_before"
"""Of an i64 each: how many rounds are known to be good, now and when the rounds under way began."""
DISTRUST_LEFT = "distrust"
"""Of an i64: how many times more the slow form is to serve."""
ROUGH_LEFT = "rough"
"""Of an i64: how many times more a rough look is not to be tried."""
AGAIN = "again"
"""Of an i1: whether the rounds under way go on where earlier ones ended."""


def reserve(lifter: Lifter) -> None:
    """Emit the stack slots, but for those of one loop."""
    lifter.alloca(ROUNDS, I64)
    lifter.alloca(ROUNDS_BEFORE, I64)
    lifter.alloca(DISTRUST_LEFT, I64)
    lifter.write_number(DISTRUST_LEFT, lifter.constant(I64, 0))
    lifter.alloca(ROUGH_LEFT, I64)
    lifter.write_number(ROUGH_LEFT, lifter.constant(I64, 0))
    lifter.alloca(BAD, BIT)
    lifter.alloca(AGAIN, BIT)
    for name, type in least_slots():
        lifter.alloca(name, type)
    for number in range(MOST_WIDE):
        for registers in (1, 2, 4):
            slot = wide(number, registers)
            lifter.alloca(slot.name, slot.type)


def behind_slot(start: int, place: Placed) -> str:
    """Of an i64, for the loop at `start`: how far an address is behind the start of its line."""
    return "_".join(map(str, ("behind", f"{start:x}", *place.registers, place.offset)))

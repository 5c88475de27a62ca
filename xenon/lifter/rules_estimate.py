"""The estimate instructions, by the functions of estimates.py; VMX128's forms too."""

from __future__ import annotations

from xenon.lifter.estimates import SCALAR_ESTIMATES, VECTOR_ESTIMATES
from xenon.lifter.ir_types import I32, WORDS_4
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
from xenon.lifter.rules_float import exactly
from xenon.powerpc.decode import Instruction

RULES = Rules()


RULES.update(dict.fromkeys(SCALAR_ESTIMATES, exactly))


@RULES.add(" ".join(f"{name} {name}128" for name in VECTOR_ESTIMATES))
def _vector(lifter: Lifter, instruction: Instruction) -> None:
    """Denormals count as zero, and are flushed to it (VSCR.NJ = 1)."""
    words = lifter.vector(instruction.vb, WORDS_4)
    result = words
    for lane in range(4):
        bits = words.extract(lifter.constant(I32, lane))
        result = result.insert(bits.call(f"estimate_{instruction.general_name}", [bits]), lane)
    lifter.set_vector(instruction.vt, result)

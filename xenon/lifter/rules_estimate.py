"""The estimate instructions, by the functions of estimates.py; VMX128's forms too."""

from __future__ import annotations

from xenon.lifter.estimates import SCALAR_ESTIMATES, VECTOR_ESTIMATES
from xenon.lifter.ir_types import DOUBLE, I32, I64, WORDS_4
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
from xenon.powerpc.decode import Instruction

RULES = Rules()


@RULES.add(" ".join(SCALAR_ESTIMATES))
def _scalar(lifter: Lifter, instruction: Instruction) -> None:
    bits = lifter.double(instruction.rb, exact=True).bitcast(I64)
    result = bits.call(f"estimate_{instruction.mnemonic}", [bits])
    lifter.set_double(instruction.rt, result.bitcast(DOUBLE))


@RULES.add(" ".join(f"{name} {name}128" for name in VECTOR_ESTIMATES))
def _vector(lifter: Lifter, instruction: Instruction) -> None:
    """Denormals count as zero, and are flushed to it (VSCR.NJ = 1)."""
    words = lifter.vector(instruction.vb, WORDS_4)
    result = words
    for lane in range(4):
        bits = words.extract(lifter.constant(I32, lane))
        result = result.insert(bits.call(f"estimate_{instruction.general_name}", [bits]), lane)
    lifter.set_vector(instruction.vt, result)

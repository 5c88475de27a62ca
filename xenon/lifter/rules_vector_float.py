"""Vector instructions on floats beyond arithmetic: extremes, bounds, rounding, and integers of floats.

Denormals count as zero, as in rules_vector.py.
"""

from __future__ import annotations

from xenon.lifter.ir_types import BIT, FLOATS_4, WORDS_4
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
from xenon.lifter.rules_vector import flushed_floats
from xenon.lifter.rules_vector_integer import note_saturation
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction

RULES = Rules()

_NAN, _SIGN = 0x7FC0_0000, 0x8000_0000


@RULES.add("vmaxfp vminfp vmaxfp128 vminfp128")
def _extreme(lifter: Lifter, instruction: Instruction) -> None:
    """Of zeros, +0 is the greater; where one operand is NaN, that one made quiet, VA's first."""
    numbers = (instruction.va, instruction.vb)
    a, b = (flushed_floats(lifter, number) for number in numbers)
    first, second = a.bitcast(WORDS_4), b.bitcast(WORDS_4)
    most = instruction.general_name == "vmaxfp"
    other = a.fcmp("ogt" if most else "olt", b).select(first, second)
    both = first & second if most else first | second  # the same, but for the sign of zeros
    usual = a.fcmp("oeq", b).select(both, other)
    nan = a.fcmp("uno", b)

    def repair() -> Value:
        raw = [lifter.vector(number, FLOATS_4) for number in numbers]
        result = nan.select(_NAN, usual).bitcast(FLOATS_4)
        return result.call("nan4", [result, *raw, result.like(0)], "preserve_allcc ").bitcast(WORDS_4)

    lifter.set_vector(instruction.vt, lifter.unless(nan.no_lane(), usual, repair))


@RULES.add("vcmpbfp vcmpbfp. vcmpbfp128 vcmpbfp128.")
def _compare_bounds(lifter: Lifter, instruction: Instruction) -> None:
    """The highest bit where VA is not at most VB, the next where it is not at least -VB."""
    a, b = (flushed_floats(lifter, number) for number in (instruction.va, instruction.vb))
    zero = lifter.constant(WORDS_4, 0)
    above = a.fcmp("ole", b).select(zero, zero.like(_SIGN))
    below = a.fcmp("oge", -b).select(zero, zero.like(_SIGN >> 1))
    result = above | below
    lifter.set_vector(instruction.vt, result)
    if instruction.mnemonic.endswith("."):
        no = lifter.constant(BIT, False)
        lifter.set_field(6, no, no, result.icmp("ne", 0).no_lane())


_ROUNDINGS = {"vrfim": "floor", "vrfin": "roundeven", "vrfip": "ceil", "vrfiz": "trunc"}


@RULES.add(" ".join(f"{name} {name}128" for name in _ROUNDINGS))
def _round(lifter: Lifter, instruction: Instruction) -> None:
    value = flushed_floats(lifter, instruction.vb)
    lifter.set_vector(instruction.vt, value.intrinsic(_ROUNDINGS[instruction.general_name]))


@RULES.add("vctsxs vctuxs vcfpsxws128 vcfpuxws128")
def _to_integers(lifter: Lifter, instruction: Instruction) -> None:
    """Times 2 to the power of UIM, without the fraction; 0 for NaN, which does not saturate."""
    signed = instruction.mnemonic in ("vctsxs", "vcfpsxws128")
    value = flushed_floats(lifter, instruction.vb) * 2.0**instruction.ra
    high, low = (2.0**31, value.fcmp("olt", -(2.0**31))) if signed else (2.0**32, value.fcmp("ole", -1.0))
    note_saturation(lifter, value.fcmp("oge", high) | low)
    lifter.set_vector(instruction.vt, value.saturated(WORDS_4, signed))

"""The fixed-point instructions: arithmetic, logic, rotations and shifts."""

from __future__ import annotations

import operator
from collections.abc import Callable

from xenon.lifter.ir_types import BIT, I64
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
from xenon.lifter.slots import CA
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction

RULES = Rules()

_Compute = Callable[[Lifter, Instruction], Value]
_Combine = Callable[[Value, Value], Value]
_ALL = 0xFFFF_FFFF_FFFF_FFFF
_LOW_WORD = 0xFFFF_FFFF


def _result(mnemonics: str, to: str, compute: _Compute, record: bool = False) -> None:
    """Register instructions that compute one GPR, RT or RA; `record`: also their forms with a dot, which
    compare it with 0."""

    def lift(lifter: Lifter, instruction: Instruction) -> None:
        result = compute(lifter, instruction)
        lifter.set_gpr(instruction.rt if to == "RT" else instruction.ra, result)
        if instruction.mnemonic.endswith("."):
            lifter.compare(0, result, 0, signed=True)

    for mnemonic in mnemonics.split():
        RULES.add(f"{mnemonic} {mnemonic}." if record else mnemonic)(lift)


def _logic(combine: _Combine) -> _Compute:
    return lambda lifter, i: combine(lifter.gpr(i.rt), lifter.gpr(i.rb))


def _arithmetic(combine: _Combine) -> _Compute:
    return lambda lifter, i: combine(lifter.gpr(i.ra), lifter.gpr(i.rb))


for _name, _combine in (
    ("and", operator.and_),
    ("or", operator.or_),
    ("xor", operator.xor),
    ("nand", lambda a, b: ~(a & b)),
    ("nor", lambda a, b: ~(a | b)),
    ("eqv", lambda a, b: ~(a ^ b)),
    ("andc", lambda a, b: a & ~b),
    ("orc", lambda a, b: a | ~b),
):
    _result(_name, "RA", _logic(_combine), record=True)
_result("add", "RT", _arithmetic(operator.add), record=True)
_result("subf", "RT", _arithmetic(lambda a, b: b - a), record=True)
_result("mulld", "RT", _arithmetic(operator.mul), record=True)
_result("addi", "RT", lambda lifter, i: lifter.gpr_or_zero(i.ra) + i.si)
_result("addis", "RT", lambda lifter, i: lifter.gpr_or_zero(i.ra) + (i.si << 16))
_result("mulli", "RT", lambda lifter, i: lifter.gpr(i.ra) * i.si)
_result("neg", "RT", lambda lifter, i: -lifter.gpr(i.ra), record=True)
_result("ori", "RA", lambda lifter, i: lifter.gpr(i.rt) | i.ui)
_result("oris", "RA", lambda lifter, i: lifter.gpr(i.rt) | (i.ui << 16))
_result("xori", "RA", lambda lifter, i: lifter.gpr(i.rt) ^ i.ui)
_result("xoris", "RA", lambda lifter, i: lifter.gpr(i.rt) ^ (i.ui << 16))
_result("andi.", "RA", lambda lifter, i: lifter.gpr(i.rt) & i.ui)
_result("andis.", "RA", lambda lifter, i: lifter.gpr(i.rt) & (i.ui << 16))
_result("extsb", "RA", lambda lifter, i: lifter.gpr(i.rt).trunc(8).sext(64), record=True)
_result("extsh", "RA", lambda lifter, i: lifter.gpr(i.rt).trunc(16).sext(64), record=True)
_result("extsw", "RA", lambda lifter, i: lifter.gpr(i.rt).trunc(32).sext(64), record=True)


def _leading_zeros(lifter: Lifter, instruction: Instruction) -> Value:
    word = instruction.mnemonic.startswith("cntlzw")
    value = lifter.low_word(instruction.rt) if word else lifter.gpr(instruction.rt)
    zero_is_undefined = lifter.constant(BIT, False)
    count = value.call(f"llvm.ctlz.{value.type.suffix}", [value, zero_is_undefined])
    return count.zext(64) if word else count


_result("cntlzw cntlzd", "RA", _leading_zeros, record=True)


def _word_product(lifter: Lifter, instruction: Instruction) -> Value:
    a, b = (lifter.low_word(number).sext(64) for number in (instruction.ra, instruction.rb))
    return a * b


def _high_word(lifter: Lifter, instruction: Instruction) -> Value:
    """The books leave the upper half undefined; on silicon it is the sign of the lower, or 0 for mulhwu."""
    low = (lifter.low_word(number) for number in (instruction.ra, instruction.rb))
    unsigned = instruction.mnemonic.startswith("mulhwu")
    a, b = (value.zext(64) if unsigned else value.sext(64) for value in low)
    return (a * b).lshr(32) if unsigned else (a * b).ashr(32)


def _high_doubleword(lifter: Lifter, instruction: Instruction) -> Value:
    whole = (lifter.gpr(number) for number in (instruction.ra, instruction.rb))
    unsigned = instruction.mnemonic.startswith("mulhdu")
    a, b = (value.zext(128) if unsigned else value.sext(128) for value in whole)
    return (a * b).lshr(64).trunc(64)


_result("mullw", "RT", _word_product, record=True)
_result("mulhw mulhwu", "RT", _high_word, record=True)
_result("mulhd mulhdu", "RT", _high_doubleword, record=True)


def _quotient(lifter: Lifter, instruction: Instruction) -> Value:
    """Where the books leave the quotient undefined it is 0, as on silicon."""
    name = instruction.mnemonic.rstrip(".")
    unsigned, word = name.endswith("u"), name.startswith("divw")
    register = lifter.low_word if word else lifter.gpr
    a, b = (register(number) for number in (instruction.ra, instruction.rb))
    undefined = b.icmp("eq", 0)
    if not unsigned:
        lowest = -(1 << (a.type.bits - 1))
        undefined = undefined | (a.icmp("eq", lowest) & b.icmp("eq", -1))
    divisor = undefined.select(1, b)
    quotient = a.udiv(divisor) if unsigned else a.sdiv(divisor)
    quotient = undefined.select(0, quotient)
    return quotient.zext(64) if word else quotient


_result("divw divwu divd divdu", "RT", _quotient, record=True)


# Carries


def _sum(lifter: Lifter, a: Value, b: Value | int) -> Value:
    """a + b, whose carry goes to CA."""
    total = a + b
    lifter.set(CA, total.icmp("ult", a))
    return total


def _sum_and_one(lifter: Lifter, a: Value, b: Value | int, one: Value) -> Value:
    """a + b + an i1, whose carry goes to CA."""
    first = a + b
    over = first.icmp("ult", a)
    total = first + one.zext(64)
    lifter.set(CA, over | total.icmp("ult", first))
    return total


def _true(lifter: Lifter) -> Value:
    return lifter.constant(BIT, True)


_result("addic", "RT", lambda lifter, i: _sum(lifter, lifter.gpr(i.ra), i.si), record=True)
_result("subfic", "RT", lambda lifter, i: _sum_and_one(lifter, ~lifter.gpr(i.ra), i.si, _true(lifter)))
_result("addc", "RT", lambda lifter, i: _sum(lifter, lifter.gpr(i.ra), lifter.gpr(i.rb)), record=True)
_result(
    "subfc",
    "RT",
    lambda lifter, i: _sum_and_one(lifter, ~lifter.gpr(i.ra), lifter.gpr(i.rb), _true(lifter)),
    record=True,
)


def _extended(inverted: bool, constant: int | None) -> _Compute:
    """RA, or its complement, + RB or a constant + CA."""

    def compute(lifter: Lifter, instruction: Instruction) -> Value:
        a = ~lifter.gpr(instruction.ra) if inverted else lifter.gpr(instruction.ra)
        b = lifter.gpr(instruction.rb) if constant is None else constant
        return _sum_and_one(lifter, a, b, lifter.get(CA))

    return compute


for _end, _constant in (("e", None), ("ze", 0), ("me", -1)):
    _result(f"add{_end}", "RT", _extended(False, _constant), record=True)
    _result(f"subf{_end}", "RT", _extended(True, _constant), record=True)


# Rotations


def mask(first: int, last: int) -> int:
    """Ones from bit `first` to bit `last`, 0 being the most significant of 64; around the end if last is
    less."""
    ones = (_ALL >> first) ^ (_ALL >> (last + 1))
    return ones & _ALL if first <= last else ~((_ALL >> (last + 1)) ^ (_ALL >> first)) & _ALL


def _rotated(value: Value, by: Value | int) -> Value:
    return value.intrinsic("fshl", value, by)


def _inserted(lifter: Lifter, instruction: Instruction, kept: Value, ones: int) -> Value:
    """`kept`, and RA's bits where the mask has none."""
    return kept | (lifter.gpr(instruction.ra) & (~ones & _ALL))


def _word_rotation(lifter: Lifter, instruction: Instruction) -> Value:
    name = instruction.mnemonic.rstrip(".")
    first, last, shift = instruction.rc, instruction.word >> 1 & 31, instruction.rb
    # Where the mask goes around the end it takes the upper word's copy along (the books' ROTL32).
    ones = mask(first + 32, last + 32)
    by = lifter.gpr(instruction.rb) & 31 if name == "rlwnm" else shift
    if name != "rlwnm" and last == 31 - shift and first <= last:
        turned = lifter.gpr(instruction.rt).shl(by)
    else:
        low = lifter.gpr(instruction.rt) & _LOW_WORD
        turned = _rotated(low | low.shl(32), by)
    kept = turned & ones
    return _inserted(lifter, instruction, kept, ones) if name == "rlwimi" else kept


def _rotation(lifter: Lifter, instruction: Instruction) -> Value:
    name = instruction.mnemonic.rstrip(".")
    edge = instruction.rc | instruction.word & 32
    shift = instruction.rb | (instruction.word & 2) << 4
    by: Value | int = shift
    if name in ("rldcl", "rldcr"):
        by = lifter.gpr(instruction.rb) & 63
    ones = {
        "rldicl": mask(edge, 63), "rldcl": mask(edge, 63), "rldicr": mask(0, edge), "rldcr": mask(0, edge),
        "rldic": mask(edge, 63 - shift), "rldimi": mask(edge, 63 - shift),
    }[name]  # fmt: skip
    kept = _rotated(lifter.gpr(instruction.rt), by) & ones
    return _inserted(lifter, instruction, kept, ones) if name == "rldimi" else kept


_result("rlwinm rlwnm rlwimi", "RA", _word_rotation, record=True)
_result("rldicl rldicr rldic rldimi rldcl rldcr", "RA", _rotation, record=True)


# Shifts


def _shift(lifter: Lifter, instruction: Instruction) -> Value:
    """A shift by as many bits as the register has, or more, leaves nothing."""
    name = instruction.mnemonic.rstrip(".")
    word, left = name.endswith("w"), name.startswith("sl")
    bits = 32 if word else 64
    source = lifter.gpr(instruction.rt)
    if word:
        source = source & _LOW_WORD
    by = lifter.gpr(instruction.rb) & (2 * bits - 1)
    shifted = source.shl(by & 63) if left else source.lshr(by & 63)
    if word:
        shifted = shifted & _LOW_WORD
    return by.icmp("ult", bits).select(shifted, 0)


_result("slw srw sld srd", "RA", _shift, record=True)


def _arithmetic_shift(lifter: Lifter, instruction: Instruction) -> Value:
    """CA is set where a negative number loses ones."""
    name = instruction.mnemonic.rstrip(".")
    word, immediate = name.startswith("sraw"), name.endswith("i")
    bits = 32 if word else 64
    source = lifter.low_word(instruction.rt).sext(64) if word else lifter.gpr(instruction.rt)
    if immediate:
        wanted = lifter.constant(I64, instruction.rb | (0 if word else (instruction.word & 2) << 4))
        by = wanted
    else:
        wanted = lifter.gpr(instruction.rb) & (2 * bits - 1)
        by = wanted.intrinsic("umin", 63)
    shifted = source.ashr(by)
    lost = shifted.shl(by).icmp("ne", source)
    if not immediate:  # a shift by 64 and more loses even the last one
        lost = lost | wanted.icmp("ugt", 63)
    lifter.set(CA, lost & source.icmp("slt", 0))
    return shifted


_result("srawi sradi sraw srad", "RA", _arithmetic_shift, record=True)

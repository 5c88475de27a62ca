"""Comparisons, the condition register, and moves to and from LR and CTR."""

from __future__ import annotations

from collections.abc import Callable

from xenon.lifter.ir_types import I64
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
from xenon.lifter.slots import CTR, LR
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction

RULES = Rules()


def _is_doubleword(instruction: Instruction) -> bool:
    """The field L: compare 64 bits, not 32."""
    return bool(instruction.word >> 21 & 1)


@RULES.add("cmp cmpl")
def _compare(lifter: Lifter, instruction: Instruction) -> None:
    register = lifter.gpr if _is_doubleword(instruction) else lifter.low_word
    a, b = register(instruction.ra), register(instruction.rb)
    lifter.compare(instruction.bf, a, b, signed=instruction.mnemonic == "cmp")


@RULES.add("cmpi cmpli")
def _compare_immediate(lifter: Lifter, instruction: Instruction) -> None:
    signed = instruction.mnemonic == "cmpi"
    register = lifter.gpr if _is_doubleword(instruction) else lifter.low_word
    immediate = instruction.si if signed else instruction.ui
    lifter.compare(instruction.bf, register(instruction.ra), immediate, signed)


_LOGIC: dict[str, Callable[[Value, Value], Value]] = {
    "crand": lambda a, b: a & b,
    "cror": lambda a, b: a | b,
    "crxor": lambda a, b: a ^ b,
    "crnand": lambda a, b: ~(a & b),
    "crnor": lambda a, b: ~(a | b),
    "creqv": lambda a, b: ~(a ^ b),
    "crandc": lambda a, b: a & ~b,
    "crorc": lambda a, b: a | ~b,
}


@RULES.add(" ".join(_LOGIC))
def _condition_logic(lifter: Lifter, instruction: Instruction) -> None:
    a, b = lifter.bit(instruction.ra), lifter.bit(instruction.rb)
    lifter.set_bit(instruction.rt, _LOGIC[instruction.mnemonic](a, b))


@RULES.add("mcrf")
def _move_field(lifter: Lifter, instruction: Instruction) -> None:
    source = instruction.word >> 18 & 7
    lifter.set_field(instruction.bf, *(lifter.bit(4 * source + bit) for bit in range(4)))


def _bits_of(fields: list[int]) -> list[int]:
    return [bit for field in fields for bit in range(4 * field, 4 * field + 4)]


def _gathered(lifter: Lifter, fields: list[int]) -> Value:
    """These fields of CR where mfcr has them, other bits 0."""
    total = lifter.constant(I64, 0)
    for bit in _bits_of(fields):
        total = total | lifter.bit(bit).zext(64).shl(31 - bit)
    return total


def _named_fields(instruction: Instruction) -> list[int]:
    """The fields of CR in a mask FXM."""
    return [field for field in range(8) if instruction.word >> (19 - field) & 1]


@RULES.add("mfcr")
def _move_from(lifter: Lifter, instruction: Instruction) -> None:
    lifter.set_gpr(instruction.rt, _gathered(lifter, list(range(8))))


@RULES.add("mfocrf")
def _move_from_field(lifter: Lifter, instruction: Instruction) -> None:
    """The books leave the other fields undefined; they are 0 here, as on Unicorn."""
    lifter.set_gpr(instruction.rt, _gathered(lifter, _named_fields(instruction)))


@RULES.add("mtcrf mtocrf")
def _move_to(lifter: Lifter, instruction: Instruction) -> None:
    source = lifter.gpr(instruction.rt)
    for bit in _bits_of(_named_fields(instruction)):
        lifter.set_bit(bit, source.lshr(31 - bit).trunc(1))


@RULES.add("mflr mfctr")
def _move_from_special(lifter: Lifter, instruction: Instruction) -> None:
    lifter.set_gpr(instruction.rt, lifter.get(LR if instruction.mnemonic == "mflr" else CTR))


@RULES.add("mtlr mtctr")
def _move_to_special(lifter: Lifter, instruction: Instruction) -> None:
    lifter.set(LR if instruction.mnemonic == "mtlr" else CTR, lifter.gpr(instruction.rt))

"""Forms that set OV and SO of XER. Compiled code runs while both are 0, so that no other form need look at
them: what does not overflow leaves them so, and what does is left to the interpreter."""

from __future__ import annotations

from xenon.lifter import rules_integer
from xenon.lifter.ir_types import BIT
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
from xenon.lifter.slots import CA
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction
from xenon.powerpc.isa import OVERFLOW

RULES = Rules()

_SUMS = {"": "b", "c": "b", "e": "b", "ze": "0", "me": "-1"}
"""What is added to RA, or to its complement, by the ends of the mnemonics."""


def _sum_overflows(lifter: Lifter, instruction: Instruction, name: str) -> Value:
    """A sum overflows where it has another sign than both of what it adds."""
    subtracts = name.startswith("subf")
    end = name.removeprefix("subf" if subtracts else "add")
    a = ~lifter.gpr(instruction.ra) if subtracts else lifter.gpr(instruction.ra)
    b = lifter.gpr(instruction.rb) if _SUMS[end] == "b" else a.like(int(_SUMS[end]))
    total = a + b
    if end in ("e", "ze", "me"):
        total = total + lifter.get(CA).zext(64)
    elif subtracts:
        total = total + 1
    return ((a ^ total) & (b ^ total)).icmp("slt", 0)


def _product_overflows(lifter: Lifter, instruction: Instruction, name: str) -> Value:
    register = lifter.low_word if name == "mullw" else lifter.gpr
    a, b = (register(number) for number in (instruction.ra, instruction.rb))
    bits = a.type.bits
    product = a.sext(2 * bits) * b.sext(2 * bits)
    return product.icmp("ne", product.trunc(bits).sext(2 * bits))


def _quotient_overflows(lifter: Lifter, instruction: Instruction, name: str) -> Value:
    register = lifter.low_word if name.startswith("divw") else lifter.gpr
    a, b = (register(number) for number in (instruction.ra, instruction.rb))
    undefined = b.icmp("eq", 0)
    if name.endswith("u"):
        return undefined
    lowest = -(1 << (a.type.bits - 1))
    return undefined | (a.icmp("eq", lowest) & b.icmp("eq", -1))


def overflows(lifter: Lifter, instruction: Instruction, name: str) -> Value:
    """Whether the form `name` with OE sets OV, an i1."""
    if name == "neg":
        return lifter.gpr(instruction.ra).icmp("eq", -(1 << 63))
    if name.startswith("mull"):
        return _product_overflows(lifter, instruction, name)
    if name.startswith("div"):
        return _quotient_overflows(lifter, instruction, name)
    return _sum_overflows(lifter, instruction, name)


_NAMES = [
    *(f"{name}{end}" for name in ("add", "subf") for end in _SUMS),
    *"neg mullw mulld divw divwu divd divdu".split(),
]


@RULES.add(" ".join(f"{name}o {name}o." for name in _NAMES))
def _with_overflow(lifter: Lifter, instruction: Instruction) -> None:
    dot = "." if instruction.mnemonic.endswith(".") else ""
    name = instruction.mnemonic.rstrip(".").removesuffix("o")
    beyond = overflows(lifter, instruction, name)
    assert beyond.type is BIT
    lifter.leave_unless(~beyond)
    plain = instruction._replace(word=instruction.word & ~OVERFLOW, mnemonic=name + dot)
    rules_integer.RULES[plain.mnemonic](lifter, plain)

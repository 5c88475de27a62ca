"""Comparisons, the condition register, and moves to and from LR and CTR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xenon.lifter.rule import Rules
from xenon.powerpc.decode import Instruction

if TYPE_CHECKING:
    from xenon.lifter.lift import Lifter

RULES = Rules()


@RULES.add("cmp cmpl")
def _compare(lifter: Lifter, one: Instruction) -> None:
    signed = one.mnemonic == "cmp"
    if one.word >> 21 & 1:
        lifter.compare(one.bf, lifter.gpr(one.ra), lifter.gpr(one.rb), signed)
    else:
        lifter.compare(one.bf, lifter.low_word(one.ra), lifter.low_word(one.rb), signed, "i32")


@RULES.add("cmpi cmpli")
def _compare_immediate(lifter: Lifter, one: Instruction) -> None:
    signed = one.mnemonic == "cmpi"
    value = str(one.si if signed else one.ui)
    if one.word >> 21 & 1:
        lifter.compare(one.bf, lifter.gpr(one.ra), value, signed)
    else:
        lifter.compare(one.bf, lifter.low_word(one.ra), value, signed, "i32")


_LOGIC = {
    "crand": ("and", ""), "cror": ("or", ""), "crxor": ("xor", ""), "crnand": ("and", "result"),
    "crnor": ("or", "result"), "creqv": ("xor", "result"), "crandc": ("and", "b"), "crorc": ("or", "b"),
}  # fmt: skip


@RULES.add(" ".join(_LOGIC))
def _condition_logic(lifter: Lifter, one: Instruction) -> None:
    how, inverted = _LOGIC[one.mnemonic]
    a, b = lifter.bit(one.ra), lifter.bit(one.rb)
    if inverted == "b":
        b = lifter.op(f"xor i1 {b}, true")
    found = lifter.op(f"{how} i1 {a}, {b}")
    lifter.set_bit(one.rt, lifter.op(f"xor i1 {found}, true") if inverted == "result" else found)


@RULES.add("mcrf")
def _move_field(lifter: Lifter, one: Instruction) -> None:
    source = one.word >> 18 & 7
    lifter.set_field(one.bf, *(lifter.bit(4 * source + bit) for bit in range(4)))


def _gathered(lifter: Lifter, fields: list[int]) -> str:
    """These fields of CR where mfcr has them, other bits 0."""
    total = "0"
    for field in fields:
        for bit in range(4 * field, 4 * field + 4):
            wide = lifter.op(f"zext i1 {lifter.bit(bit)} to i64")
            total = lifter.op(f"or i64 {total}, {lifter.op(f'shl i64 {wide}, {31 - bit}')}")
    return total


def _named_fields(one: Instruction) -> list[int]:
    return [field for field in range(8) if one.word >> (19 - field) & 1]


@RULES.add("mfcr")
def _move_from(lifter: Lifter, one: Instruction) -> None:
    lifter.set_gpr(one.rt, _gathered(lifter, list(range(8))))


@RULES.add("mfocrf")
def _move_from_one(lifter: Lifter, one: Instruction) -> None:
    """The books leave the other fields undefined; they are 0 here, as on Unicorn."""
    lifter.set_gpr(one.rt, _gathered(lifter, _named_fields(one)))


@RULES.add("mtcrf mtocrf")
def _move_to(lifter: Lifter, one: Instruction) -> None:
    source = lifter.gpr(one.rt)
    for field in _named_fields(one):
        for bit in range(4 * field, 4 * field + 4):
            moved = lifter.op(f"lshr i64 {source}, {31 - bit}")
            lifter.set_bit(bit, lifter.op(f"trunc i64 {moved} to i1"))


for _name in ("lr", "ctr"):

    def _from(lifter: Lifter, one: Instruction, name: str = _name) -> None:
        lifter.set_gpr(one.rt, lifter.get(name))

    def _to(lifter: Lifter, one: Instruction, name: str = _name) -> None:
        lifter.set(name, lifter.gpr(one.rt))

    RULES.add(f"mf{_name}")(_from)
    RULES.add(f"mt{_name}")(_to)

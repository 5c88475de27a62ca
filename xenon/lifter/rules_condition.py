"""Comparisons, the condition register, and moves to and from LR and CTR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xenon.lifter.instruction import RULES, Instruction, rule

if TYPE_CHECKING:
    from xenon.lifter.lift import Lifter


@rule("cmp cmpl", "RA RB", "BF")
def _compare(lifter: Lifter, one: Instruction) -> None:
    signed = one.mnemonic == "cmp"
    if one.word >> 21 & 1:
        lifter.compare(one.bf, lifter.gpr(one.ra), lifter.gpr(one.rb), signed)
    else:
        lifter.compare(one.bf, lifter.low_word(one.ra), lifter.low_word(one.rb), signed, "i32")


@rule("cmpi cmpli", "RA", "BF")
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


@rule(" ".join(_LOGIC), "BA BB", "BT")
def _condition_logic(lifter: Lifter, one: Instruction) -> None:
    how, inverted = _LOGIC[one.mnemonic]
    a, b = lifter.bit(one.ra), lifter.bit(one.rb)
    if inverted == "b":
        b = lifter.op(f"xor i1 {b}, true")
    found = lifter.op(f"{how} i1 {a}, {b}")
    lifter.set_bit(one.rt, lifter.op(f"xor i1 {found}, true") if inverted == "result" else found)


@rule("mcrf", "BFA", "BF")
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


@rule("mfcr", "CR", "RT")
def _move_from(lifter: Lifter, one: Instruction) -> None:
    lifter.set_gpr(one.rt, _gathered(lifter, list(range(8))))


@rule("mfocrf", "FXM", "RT")
def _move_from_one(lifter: Lifter, one: Instruction) -> None:
    """The books leave the other fields undefined; they are 0 here, as on Unicorn."""
    lifter.set_gpr(one.rt, _gathered(lifter, _named_fields(one)))


@rule("mtcrf mtocrf", "RS", "FXM")
def _move_to(lifter: Lifter, one: Instruction) -> None:
    source = lifter.gpr(one.rt)
    for field in _named_fields(one):
        for bit in range(4 * field, 4 * field + 4):
            moved = lifter.op(f"lshr i64 {source}, {31 - bit}")
            lifter.set_bit(bit, lifter.op(f"trunc i64 {moved} to i1"))


_SPECIAL_REGISTERS = {8: "LR", 9: "CTR"}


def special_register(word: int) -> str:
    """LR or CTR for the number in mfspr and mtspr, nothing for any other."""
    return _SPECIAL_REGISTERS.get(word >> 16 & 31 | (word >> 11 & 31) << 5, "")


for _name in ("lr", "ctr"):

    def _from(lifter: Lifter, one: Instruction, name: str = _name) -> None:
        lifter.set_gpr(one.rt, lifter.get(name))

    def _to(lifter: Lifter, one: Instruction, name: str = _name) -> None:
        lifter.set(name, lifter.gpr(one.rt))

    rule(f"mf{_name}", _name.upper(), "RT")(_from)
    rule(f"mt{_name}", "RS", _name.upper())(_to)


def rule_name(mnemonic: str, word: int) -> str:
    """The name that an instruction's rule is under: mfspr and mtspr by their register."""
    if mnemonic in ("mfspr", "mtspr"):
        return mnemonic[:2] + special_register(word).lower()
    return mnemonic


assert "mfspr" not in RULES

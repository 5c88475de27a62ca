"""The fixed-point instructions, those on the condition register, and moves to and from LR and CTR."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from xenon.lifter.rule import Rules
from xenon.powerpc.decode import Instruction

if TYPE_CHECKING:
    from xenon.lifter.lift import Lifter

RULES = Rules()

_Value = Callable[["Lifter", Instruction], str]
_ALL = 0xFFFF_FFFF_FFFF_FFFF


def _result(mnemonic: str, to: str, value: _Value, record: bool = False) -> None:
    """Register an instruction that computes one GPR, and its form with a dot, which compares it with 0."""

    def lift(lifter: Lifter, one: Instruction) -> None:
        result = value(lifter, one)
        lifter.set_gpr(one.rt if to == "RT" else one.ra, result)
        if one.mnemonic.endswith("."):
            lifter.compare(0, result, "0", signed=True)

    RULES.add(f"{mnemonic} {mnemonic}." if record else mnemonic)(lift)


def _binary(mnemonic: str, text: str, to: str, inverted: str = "") -> None:
    """`text` with {a} and {b} for the two operands; `inverted` names what is complemented."""
    first, second = ("ra", "rb") if to == "RT" else ("rt", "rb")

    def value(lifter: Lifter, one: Instruction) -> str:
        operands = {"a": lifter.gpr(getattr(one, first)), "b": lifter.gpr(getattr(one, second))}
        if inverted in operands:
            operands[inverted] = lifter.op(f"xor i64 {operands[inverted]}, -1")
        found = lifter.op(text.format(**operands))
        return lifter.op(f"xor i64 {found}, -1") if inverted == "result" else found

    _result(mnemonic, to, value, record=True)


for _name, _text, _inverted in (
    ("and", "and i64 {a}, {b}", ""), ("or", "or i64 {a}, {b}", ""), ("xor", "xor i64 {a}, {b}", ""),
    ("nand", "and i64 {a}, {b}", "result"), ("nor", "or i64 {a}, {b}", "result"),
    ("eqv", "xor i64 {a}, {b}", "result"), ("andc", "and i64 {a}, {b}", "b"), ("orc", "or i64 {a}, {b}", "b"),
):  # fmt: skip
    _binary(_name, _text, "RA", _inverted)
for _name, _text in (
    ("add", "add i64 {a}, {b}"),
    ("subf", "sub i64 {b}, {a}"),
    ("mulld", "mul i64 {a}, {b}"),
):
    _binary(_name, _text, "RT")


def _base(lifter: Lifter, one: Instruction) -> str:
    return lifter.gpr(one.ra) if one.ra else "0"


_result("addi", "RT", lambda f, i: f.op(f"add i64 {_base(f, i)}, {i.si}"))
_result("addis", "RT", lambda f, i: f.op(f"add i64 {_base(f, i)}, {i.si << 16}"))
_result("mulli", "RT", lambda f, i: f.op(f"mul i64 {f.gpr(i.ra)}, {i.si}"))
_result("neg", "RT", lambda f, i: f.op(f"sub i64 0, {f.gpr(i.ra)}"), record=True)
for _name, _how in (("ori", "or"), ("xori", "xor"), ("andi.", "and")):
    _result(_name, "RA", lambda f, i, how=_how: f.op(f"{how} i64 {f.gpr(i.rt)}, {i.ui}"))  # type: ignore[misc]
for _name, _how in (("oris", "or"), ("xoris", "xor"), ("andis.", "and")):
    _result(_name, "RA", lambda f, i, how=_how: f.op(f"{how} i64 {f.gpr(i.rt)}, {i.ui << 16}"))  # type: ignore[misc]
for _name, _bits in (("extsb", 8), ("extsh", 16), ("extsw", 32)):

    def _extend(lifter: Lifter, one: Instruction, bits: int = _bits) -> str:
        return lifter.op(f"sext i{bits} {lifter.op(f'trunc i64 {lifter.gpr(one.rt)} to i{bits}')} to i64")

    _result(_name, "RA", _extend, record=True)


def _leading_zeros(lifter: Lifter, one: Instruction) -> str:
    if one.mnemonic.startswith("cntlzd"):
        return lifter.op(f"call i64 @llvm.ctlz.i64(i64 {lifter.gpr(one.rt)}, i1 false)")
    count = lifter.op(f"call i32 @llvm.ctlz.i32(i32 {lifter.low_word(one.rt)}, i1 false)")
    return lifter.op(f"zext i32 {count} to i64")


_result("cntlzw", "RA", _leading_zeros, record=True)
_result("cntlzd", "RA", _leading_zeros, record=True)


def _word_product(lifter: Lifter, one: Instruction) -> str:
    a, b = (lifter.op(f"sext i32 {lifter.low_word(number)} to i64") for number in (one.ra, one.rb))
    return lifter.op(f"mul i64 {a}, {b}")


def _high_word(lifter: Lifter, one: Instruction) -> str:
    """The books leave the upper half undefined; it is 0 here, as on Unicorn."""
    extend = "zext" if one.mnemonic.startswith("mulhwu") else "sext"
    a, b = (lifter.op(f"{extend} i32 {lifter.low_word(number)} to i64") for number in (one.ra, one.rb))
    return lifter.op(f"lshr i64 {lifter.op(f'mul i64 {a}, {b}')}, 32")


def _high_doubleword(lifter: Lifter, one: Instruction) -> str:
    extend = "zext" if one.mnemonic.startswith("mulhdu") else "sext"
    a, b = (lifter.op(f"{extend} i64 {lifter.gpr(number)} to i128") for number in (one.ra, one.rb))
    product = lifter.op(f"mul i128 {a}, {b}")
    return lifter.op(f"trunc i128 {lifter.op(f'lshr i128 {product}, 64')} to i64")


_result("mullw", "RT", _word_product, record=True)
_result("mulhw", "RT", _high_word, record=True)
_result("mulhwu", "RT", _high_word, record=True)
_result("mulhd", "RT", _high_doubleword, record=True)
_result("mulhdu", "RT", _high_doubleword, record=True)


def _quotient(lifter: Lifter, one: Instruction) -> str:
    """Where the books leave the quotient undefined it is the dividend, as on Unicorn."""
    name = one.mnemonic.rstrip(".")
    kind = "i32" if name.startswith("divw") else "i64"
    a, b = (lifter.low_word(n) if kind == "i32" else lifter.gpr(n) for n in (one.ra, one.rb))
    wrong = lifter.op(f"icmp eq {kind} {b}, 0")
    if not name.endswith("u"):
        lowest = -(1 << (31 if kind == "i32" else 63))
        over = lifter.op(f"icmp eq {kind} {a}, {lowest}")
        over = lifter.op(f"and i1 {over}, {lifter.op(f'icmp eq {kind} {b}, -1')}")
        wrong = lifter.op(f"or i1 {wrong}, {over}")
    divisor = lifter.op(f"select i1 {wrong}, {kind} 1, {kind} {b}")
    found = lifter.op(f"{'udiv' if name.endswith('u') else 'sdiv'} {kind} {a}, {divisor}")
    return lifter.op(f"zext i32 {found} to i64") if kind == "i32" else found


for _name in ("divw", "divwu", "divd", "divdu"):
    _result(_name, "RT", _quotient, record=True)


def _sum(lifter: Lifter, a: str, b: str, carry: str) -> str:
    """a + b + carry (an i1), whose carry goes to CA."""
    first = lifter.op(f"add i64 {a}, {b}")
    over = lifter.op(f"icmp ult i64 {first}, {a}")
    if carry == "false":
        lifter.set("ca", over)
        return first
    total = lifter.op(f"add i64 {first}, {lifter.op(f'zext i1 {carry} to i64')}")
    lifter.set("ca", lifter.op(f"or i1 {over}, {lifter.op(f'icmp ult i64 {total}, {first}')}"))
    return total


def _inverse(lifter: Lifter, number: int) -> str:
    return lifter.op(f"xor i64 {lifter.gpr(number)}, -1")


_result("addic", "RT", lambda f, i: _sum(f, f.gpr(i.ra), str(i.si), "false"), record=True)
_result("subfic", "RT", lambda f, i: _sum(f, _inverse(f, i.ra), str(i.si), "true"))
_result("addc", "RT", lambda f, i: _sum(f, f.gpr(i.ra), f.gpr(i.rb), "false"), record=True)
_result(
    "subfc",
    "RT",
    lambda f, i: _sum(f, _inverse(f, i.ra), f.gpr(i.rb), "true"),
    record=True,
)
for _name, _second in (("adde", None), ("addze", "0"), ("addme", "-1")):

    def _add_extended(lifter: Lifter, one: Instruction, second: str | None = _second) -> str:
        return _sum(lifter, lifter.gpr(one.ra), second or lifter.gpr(one.rb), lifter.get("ca"))

    def _subtract_extended(lifter: Lifter, one: Instruction, second: str | None = _second) -> str:
        return _sum(lifter, _inverse(lifter, one.ra), second or lifter.gpr(one.rb), lifter.get("ca"))

    _result(_name, "RT", _add_extended, record=True)
    _result(_name.replace("add", "subf"), "RT", _subtract_extended, record=True)


def mask(first: int, last: int) -> int:
    """Ones from bit `first` to bit `last`, 0 being the most significant of 64; around the end if last is
    less."""
    ones = (_ALL >> first) ^ (_ALL >> (last + 1))
    return ones & _ALL if first <= last else ~((_ALL >> (last + 1)) ^ (_ALL >> first)) & _ALL


def _rotated(lifter: Lifter, value: str, by: str) -> str:
    return lifter.op(f"call i64 @llvm.fshl.i64(i64 {value}, i64 {value}, i64 {by})")


def _doubled_word(lifter: Lifter, number: int) -> str:
    low = lifter.op(f"and i64 {lifter.gpr(number)}, 4294967295")
    return lifter.op(f"or i64 {low}, {lifter.op(f'shl i64 {low}, 32')}")


def _word_rotation(lifter: Lifter, one: Instruction) -> str:
    name = one.mnemonic.rstrip(".")
    first, last = one.rc, one.word >> 1 & 31
    # Where the mask goes around the end it takes the upper word's copy along (the books' ROTL32).
    ones = mask(first + 32, last + 32)
    by = lifter.op(f"and i64 {lifter.gpr(one.rb)}, 31") if name == "rlwnm" else str(one.rb)
    if name != "rlwnm" and last == 31 - one.rb and first <= last:
        turned = lifter.op(f"shl i64 {lifter.gpr(one.rt)}, {by}")
    else:
        turned = _rotated(lifter, _doubled_word(lifter, one.rt), by)
    kept = lifter.op(f"and i64 {turned}, {ones}")
    if name != "rlwimi":
        return kept
    return lifter.op(f"or i64 {kept}, {lifter.op(f'and i64 {lifter.gpr(one.ra)}, {~ones & _ALL}')}")


def _rotation(lifter: Lifter, one: Instruction) -> str:
    name = one.mnemonic.rstrip(".")
    edge = one.rc | one.word & 32
    if name in ("rldcl", "rldcr"):
        by, shift = lifter.op(f"and i64 {lifter.gpr(one.rb)}, 63"), 0
    else:
        shift = one.rb | (one.word & 2) << 4
        by = str(shift)
    ones = {
        "rldicl": mask(edge, 63), "rldcl": mask(edge, 63), "rldicr": mask(0, edge), "rldcr": mask(0, edge),
        "rldic": mask(edge, 63 - shift), "rldimi": mask(edge, 63 - shift),
    }[name]  # fmt: skip
    source = lifter.gpr(one.rt)
    kept = lifter.op(f"and i64 {_rotated(lifter, source, by)}, {ones}")
    if name != "rldimi":
        return kept
    return lifter.op(f"or i64 {kept}, {lifter.op(f'and i64 {lifter.gpr(one.ra)}, {~ones & _ALL}')}")


_result("rlwinm", "RA", _word_rotation, record=True)
_result("rlwnm", "RA", _word_rotation, record=True)
_result("rlwimi", "RA", _word_rotation, record=True)
for _name in ("rldicl", "rldicr", "rldic"):
    _result(_name, "RA", _rotation, record=True)
_result("rldimi", "RA", _rotation, record=True)
_result("rldcl", "RA", _rotation, record=True)
_result("rldcr", "RA", _rotation, record=True)


def _shift(lifter: Lifter, one: Instruction) -> str:
    """A shift by as many bits as the register has, or more, leaves nothing."""
    name = one.mnemonic.rstrip(".")
    word, how = name.endswith("w"), "shl" if name.startswith("sl") else "lshr"
    source = lifter.gpr(one.rt)
    if word:
        source = lifter.op(f"and i64 {source}, 4294967295")
    bits = 32 if word else 64
    by = lifter.op(f"and i64 {lifter.gpr(one.rb)}, {2 * bits - 1}")
    shifted = lifter.op(f"{how} i64 {source}, {lifter.op(f'and i64 {by}, 63')}")
    if word:
        shifted = lifter.op(f"and i64 {shifted}, 4294967295")
    return lifter.op(f"select i1 {lifter.op(f'icmp ult i64 {by}, {bits}')}, i64 {shifted}, i64 0")


for _name in ("slw", "srw", "sld", "srd"):
    _result(_name, "RA", _shift, record=True)


def _arithmetic_shift(lifter: Lifter, one: Instruction) -> str:
    """CA is set where a negative number loses ones."""
    name = one.mnemonic.rstrip(".")
    bits = 32 if "aw" in name else 64
    word = bits == 32
    source = lifter.op(f"sext i32 {lifter.low_word(one.rt)} to i64") if word else lifter.gpr(one.rt)
    if name.endswith("i"):
        by = str(one.rb | (one.word & 2) << 4 if bits == 64 else one.rb)
    else:
        wanted = lifter.op(f"and i64 {lifter.gpr(one.rb)}, {2 * bits - 1}")
        by = lifter.op(f"call i64 @llvm.umin.i64(i64 {wanted}, i64 63)")
    shifted = lifter.op(f"ashr i64 {source}, {by}")
    back = lifter.op(f"shl i64 {shifted}, {by}")
    lost = lifter.op(f"icmp ne i64 {back}, {source}")
    if not name.endswith("i"):  # a shift by 64 and more loses even the last one
        lost = lifter.op(f"or i1 {lost}, {lifter.op(f'icmp ugt i64 {wanted}, 63')}")
    lifter.set("ca", lifter.op(f"and i1 {lost}, {lifter.op(f'icmp slt i64 {source}, 0')}"))
    return shifted


_result("srawi", "RA", _arithmetic_shift, record=True)
_result("sradi", "RA", _arithmetic_shift, record=True)
_result("sraw", "RA", _arithmetic_shift, record=True)
_result("srad", "RA", _arithmetic_shift, record=True)

"""The floating-point instructions: round to nearest, no exception enabled. Of FPSCR they note invalid
operations, on
an unlikely branch; in a function that shows FPSCR to the program they keep all of it (exact_forms.py).

Arithmetic on values known to be single is done in float, which gives the same bits: rounding a double result
of +, -, *, / or a square root of singles again to single is harmless. A result that is no number is repaired
on an unlikely branch, since PowerPC picks and makes its NaNs in another way than the host.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from xenon.lifter.fpscr import (
    Invalid,
    kind_of,
)
from xenon.lifter.ir_types import DOUBLE, FLOAT, I32, I64, int_type
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Lift, Rules
from xenon.lifter.status_forms import COMPARISONS, NOTING, SINGLE
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction
from xenon.powerpc.operands import operands_of

RULES = Rules()

_ARITHMETIC: dict[str, Callable[[Value, Value], Value]] = {
    "fadd": operator.add,
    "fsub": operator.sub,
    "fmul": operator.mul,
    "fdiv": operator.truediv,
}


def _is_single(instruction: Instruction) -> bool:
    """Whether an arithmetic instruction rounds to single precision."""
    return instruction.mnemonic.endswith("s")


def _finish(lifter: Lifter, instruction: Instruction, result: Value, operands: list[Value]) -> None:
    """Set FT to a float or a double; where it is NaN, to what PowerPC gives for these operands, in the
    order of the books."""
    of = operands[0].type
    function = "nan64" if result.type == DOUBLE else "nan32" if of == FLOAT else "nan32w"
    padded = [*operands, *[lifter.constant(of, 0.0)] * (3 - len(operands))]

    def repair() -> Value:
        _note_invalid(lifter, kind_of(instruction.mnemonic), fpr_operands(instruction))
        return result.call(function, padded, "preserve_allcc ")

    value = lifter.number(result, operands, repair)
    if value.type == FLOAT:
        lifter.set_single(instruction.rt, value)
    else:
        lifter.set_double(instruction.rt, value)


def fpr_operands(instruction: Instruction) -> dict[str, int]:
    """The numbers of the operands FA, FB and FC that a form has."""
    operands = operands_of(instruction.mnemonic.rstrip("."))
    numbers = {"FA": instruction.ra, "FB": instruction.rb, "FC": instruction.rc}
    return {} if operands is None else {name: numbers[name] for name in operands.reads if name in numbers}


def _note_invalid(
    lifter: Lifter, kind: Invalid, registers: dict[str, int], rounded: Value | None = None
) -> None:
    """Note an operation on these FPRs that may have been invalid. `rounded` stands for FB."""
    if not lifter.notes_invalid:
        return
    values = {name: lifter.double(number, exact=True) for name, number in registers.items()}
    if rounded is not None:
        values["FB"] = rounded
    zero = lifter.constant(DOUBLE, 0.0)
    operands = ", ".join(values.get(name, zero).typed for name in ("FA", "FB", "FC"))
    lifter.emit(f"call preserve_allcc void @note_invalid(ptr %state, i32 {int(kind)}, {operands})")


def exactly(lifter: Lifter, instruction: Instruction) -> None:
    """Any form that changes FPSCR by the way, with all that it does there."""
    name = instruction.mnemonic.rstrip(".")
    registers = fpr_operands(instruction)
    zero = lifter.constant(I64, 0)
    bits = [
        lifter.double(registers[operand], exact=True).bitcast(I64) if operand in registers else zero
        for operand in ("FA", "FB", "FC")
    ]
    result = zero.call(f"exact_{name}", [lifter.named("state"), *bits, zero])
    if name in COMPARISONS:
        for bit in range(4):
            lifter.set_bit(4 * instruction.bf + bit, (result & 8 >> bit).icmp("ne", 0))
    elif instruction.mnemonic in SINGLE:
        lifter.set_single(instruction.rt, result.bitcast(DOUBLE).fptrunc())
    else:
        lifter.set_double(instruction.rt, result.bitcast(DOUBLE))


def _or_exactly(usual: Lift) -> Lift:
    """A rule for both kinds of functions."""

    def lift(lifter: Lifter, instruction: Instruction) -> None:
        (exactly if lifter.keeps_status else usual)(lifter, instruction)

    return lift


def _operands(lifter: Lifter, numbers: list[int], single: bool) -> list[Value]:
    """FPRs: floats where the result is single and all of them are, else doubles."""
    if single and all(lifter.is_single(number) for number in numbers):
        return [lifter.single(number) for number in numbers]
    return [lifter.double(number) for number in numbers]


def _rounded(value: Value, single: bool) -> Value:
    return value.fptrunc() if single and value.type == DOUBLE else value


@RULES.add("fadd fadds fsub fsubs fmul fmuls fdiv fdivs")
def _binary(lifter: Lifter, instruction: Instruction) -> None:
    single = _is_single(instruction)
    second = instruction.rc if instruction.mnemonic.startswith("fmul") else instruction.rb
    operands = _operands(lifter, [instruction.ra, second], single)
    result = _ARITHMETIC[instruction.mnemonic.rstrip("s")](operands[0], operands[1])
    _finish(lifter, instruction, _rounded(result, single), operands)


@RULES.add("fsqrt fsqrts")
def _square_root(lifter: Lifter, instruction: Instruction) -> None:
    single = _is_single(instruction)
    operands = _operands(lifter, [instruction.rb], single)
    _finish(lifter, instruction, _rounded(operands[0].intrinsic("sqrt"), single), operands)


@RULES.add("frsp")
def _round(lifter: Lifter, instruction: Instruction) -> None:
    operands = _operands(lifter, [instruction.rb], True)
    _finish(lifter, instruction, _rounded(operands[0], True), operands)


@RULES.add("fmadd fmsub fnmadd fnmsub fmadds fmsubs fnmadds fnmsubs")
def _fused(lifter: Lifter, instruction: Instruction) -> None:
    """FA * FC + FB, rounded once. In single precision that is exact only for single operands; what others
    give is undefined in the books, and rounded twice here, as on Unicorn."""
    single = _is_single(instruction)
    operands = _operands(lifter, [instruction.ra, instruction.rb, instruction.rc], single)
    result = _multiply_add(instruction, operands)
    if single and result.type == DOUBLE:
        near = [operand.fptrunc() for operand in operands]
        same = [short.fpext().fcmp("oeq", wide) for short, wide in zip(near, operands, strict=True)]
        all_single = lifter.all_of(same)
        rounded_twice = result.fptrunc()
        result = all_single.select(_multiply_add(instruction, near), rounded_twice)
    _finish(lifter, instruction, result, operands)


def _multiply_add(instruction: Instruction, operands: list[Value]) -> Value:
    a, b, c = operands
    addend = -b if "sub" in instruction.mnemonic else b
    result = a.intrinsic("fma", c, addend)
    return -result if instruction.mnemonic.startswith("fn") else result


@RULES.add("fmr fneg fabs fnabs")
def _sign(lifter: Lifter, instruction: Instruction) -> None:
    """The sign bit alone: NaNs keep their bits."""
    single = lifter.is_single(instruction.rb)
    source = lifter.single(instruction.rb) if single else lifter.double(instruction.rb)
    value = source
    if instruction.mnemonic != "fmr":
        bits = source.bitcast(int_type(source.type.bits))
        top = 1 << (source.type.bits - 1)
        changes: dict[str, Callable[[], Value]] = {
            "fneg": lambda: bits ^ top,
            "fabs": lambda: bits & (top - 1),
            "fnabs": lambda: bits | top,
        }
        value = changes[instruction.mnemonic]().bitcast(source.type)
        lifter.same(value, source)
    (lifter.set_single if single else lifter.set_double)(instruction.rt, value)


@RULES.add("fsel")
def _select(lifter: Lifter, instruction: Instruction) -> None:
    b, c = instruction.rb, instruction.rc
    chosen = lifter.double(instruction.ra).fcmp("oge", 0.0)
    if lifter.is_single(b) and lifter.is_single(c):
        values = [lifter.single(number) for number in (b, c)]
        lifter.set_single(instruction.rt, chosen.select(values[1], values[0]))
    else:
        values = [lifter.double(number, exact=True) for number in (b, c)]
        lifter.set_double(instruction.rt, chosen.select(values[1], values[0]))


@RULES.add("fcmpu")
def _compare(lifter: Lifter, instruction: Instruction) -> None:
    a, b = _operands(lifter, [instruction.ra, instruction.rb], True)
    lt, gt, eq, unordered = (a.fcmp(predicate, b) for predicate in ("olt", "ogt", "oeq", "uno"))
    lifter.set_field(instruction.bf, lt, gt, eq, unordered)


@RULES.add("fcfid")
def _from_integer(lifter: Lifter, instruction: Instruction) -> None:
    bits = lifter.double(instruction.rb, exact=True).bitcast(I64)
    lifter.set_double(instruction.rt, bits.to_float(DOUBLE, signed=True))


@RULES.add("fctid fctidz fctiw fctiwz")
def _to_integer(lifter: Lifter, instruction: Instruction) -> None:
    """Saturates, on an unlikely branch; NaN gives the lowest integer. The upper word of fctiw's result,
    undefined in the books, is the sign, as on silicon."""
    value = lifter.double(instruction.rb)
    if not instruction.mnemonic.endswith("z"):
        value = value.intrinsic("rint")
    word = "fctiw" in instruction.mnemonic
    type, limit = (I32, 1 << 31) if word else (I64, 1 << 63)

    def wide(integer: Value) -> Value:
        return integer.sext(64) if word else integer

    def repair() -> Value:
        _note_invalid(lifter, kind_of(instruction.mnemonic), {"FB": instruction.rb}, value)
        return value.fcmp("uno", value).select(-limit, wide(value.saturated(type)))

    good = value.intrinsic("fabs").fcmp("olt", float(limit))
    integer = lifter.unless(good, wide(value.to_integer(type)), repair)
    lifter.set_double(instruction.rt, integer.bitcast(DOUBLE))


RULES.update({name: _or_exactly(usual) for name, usual in RULES.items() if name in NOTING})
RULES["fcmpo"] = exactly  # it notes quiet NaNs, which the host's comparison does not

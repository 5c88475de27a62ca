"""The floating-point instructions: round to nearest, no exception enabled, FPSCR left as it is.

Arithmetic on values known to be single is done in float, which gives the same bits: rounding a double result
of +, -, *, / or a square root of singles again to single is harmless. A result that is no number is repaired
on an unlikely branch, since PowerPC picks and makes its NaNs in another way than the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xenon.lifter.rule import Rules
from xenon.powerpc.decode import Instruction

if TYPE_CHECKING:
    from xenon.lifter.lift import Lifter

RULES = Rules()

_ARITHMETIC = {"fadd": "fadd", "fsub": "fsub", "fmul": "fmul", "fdiv": "fdiv"}


def _finish(lifter: Lifter, one: Instruction, value: str, kind: str, operands: list[str], of: str) -> None:
    """Set FT to a float or a double; where it is NaN, to what PowerPC gives for these operands (of type
    `of`)."""
    padded = [*operands, *["0.0"] * (3 - len(operands))]
    repair = "nan64" if kind == "double" else "nan32" if of == "float" else "nan32w"
    arguments = ", ".join(f"{of} {operand}" for operand in padded)
    value = lifter.number(kind, value, operands, f"call preserve_allcc {kind} @{repair}({arguments})")
    if kind == "float":
        lifter.set_single(one.rt, value)
    else:
        lifter.set_double(one.rt, value)


def _operands(lifter: Lifter, numbers: list[int], single: bool) -> tuple[list[str], str]:
    """Values and their type: float where the result is single and all of them are."""
    if single and all(lifter.is_single(number) for number in numbers):
        return [lifter.single(number) for number in numbers], "float"
    return [lifter.double(number) for number in numbers], "double"


def _narrowed(lifter: Lifter, value: str, of: str, single: bool) -> tuple[str, str]:
    if single and of == "double":
        return lifter.op(f"fptrunc double {value} to float"), "float"
    return value, of


def _binary(lifter: Lifter, one: Instruction) -> None:
    single = one.mnemonic.endswith("s")
    second = one.rc if one.mnemonic.startswith("fmul") else one.rb
    operands, of = _operands(lifter, [one.ra, second], single)
    name = _ARITHMETIC[one.mnemonic.rstrip("s")]
    value, kind = _narrowed(lifter, lifter.op(f"{name} {of} {operands[0]}, {operands[1]}"), of, single)
    _finish(lifter, one, value, kind, operands, of)


RULES.add("fadd fadds fsub fsubs fdiv fdivs")(_binary)
RULES.add("fmul fmuls")(_binary)


@RULES.add("fsqrt fsqrts")
def _square_root(lifter: Lifter, one: Instruction) -> None:
    single = one.mnemonic == "fsqrts"
    operands, of = _operands(lifter, [one.rb], single)
    suffix = "f32" if of == "float" else "f64"
    root = lifter.op(f"call {of} @llvm.sqrt.{suffix}({of} {operands[0]})")
    value, kind = _narrowed(lifter, root, of, single)
    _finish(lifter, one, value, kind, operands, of)


@RULES.add("frsp")
def _round(lifter: Lifter, one: Instruction) -> None:
    operands, of = _operands(lifter, [one.rb], True)
    value, kind = _narrowed(lifter, operands[0], of, True)
    _finish(lifter, one, value, kind, operands, of)


@RULES.add("fmadd fmsub fnmadd fnmsub fmadds fmsubs fnmadds fnmsubs")
def _fused(lifter: Lifter, one: Instruction) -> None:
    """FA * FC + FB, rounded once. In single precision that is exact only for single operands; what others
    give is undefined in the books, and rounded twice here, as on Unicorn."""
    single = one.mnemonic.endswith("s")
    numbers = [one.ra, one.rb, one.rc]
    operands, of = _operands(lifter, numbers, single)
    value = _multiply_add(lifter, one, operands, of)
    if single and of == "double":
        near = [lifter.op(f"fptrunc double {operand} to float") for operand in operands]
        same = [
            lifter.op(f"fcmp oeq double {lifter.op(f'fpext float {short} to double')}, {operand}")
            for short, operand in zip(near, operands, strict=True)
        ]
        all_same = lifter.op(f"and i1 {lifter.op(f'and i1 {same[0]}, {same[1]}')}, {same[2]}")
        twice = lifter.op(f"fptrunc double {value} to float")
        once = _multiply_add(lifter, one, near, "float")
        value = lifter.op(f"select i1 {all_same}, float {once}, float {twice}")
    _finish(lifter, one, value, "float" if single else "double", operands, of)


def _multiply_add(lifter: Lifter, one: Instruction, operands: list[str], of: str) -> str:
    a, b, c = operands
    if "sub" in one.mnemonic:
        b = lifter.op(f"fneg {of} {b}")
    suffix = "f32" if of == "float" else "f64"
    value = lifter.op(f"call {of} @llvm.fma.{suffix}({of} {a}, {of} {c}, {of} {b})")
    return lifter.op(f"fneg {of} {value}") if one.mnemonic.startswith("fn") else value


@RULES.add("fmr fneg fabs fnabs")
def _sign(lifter: Lifter, one: Instruction) -> None:
    """The sign bit alone: NaNs keep their bits."""
    single = lifter.is_single(one.rb)
    kind, bits, top = ("float", "i32", 1 << 31) if single else ("double", "i64", 1 << 63)
    value = lifter.single(one.rb) if single else lifter.double(one.rb)
    if one.mnemonic != "fmr":
        word = lifter.op(f"bitcast {kind} {value} to {bits}")
        how, with_ = {"fneg": ("xor", top), "fabs": ("and", top - 1), "fnabs": ("or", top)}[one.mnemonic]
        source = value
        value = lifter.op(f"bitcast {bits} {lifter.op(f'{how} {bits} {word}, {with_}')} to {kind}")
        lifter.same(value, source)
    (lifter.set_single if single else lifter.set_double)(one.rt, value)


@RULES.add("fsel")
def _select(lifter: Lifter, one: Instruction) -> None:
    chosen = lifter.op(f"fcmp oge double {lifter.double(one.ra)}, 0.0")
    if lifter.is_single(one.rb) and lifter.is_single(one.rc):
        b, c = lifter.single(one.rb), lifter.single(one.rc)
        lifter.set_single(one.rt, lifter.op(f"select i1 {chosen}, float {c}, float {b}"))
    else:
        b, c = lifter.double(one.rb, exact=True), lifter.double(one.rc, exact=True)
        lifter.set_double(one.rt, lifter.op(f"select i1 {chosen}, double {c}, double {b}"))


@RULES.add("fcmpu fcmpo")
def _compare(lifter: Lifter, one: Instruction) -> None:
    operands, of = _operands(lifter, [one.ra, one.rb], True)
    flags = [
        lifter.op(f"fcmp {how} {of} {operands[0]}, {operands[1]}") for how in ("olt", "ogt", "oeq", "uno")
    ]
    lifter.set_field(one.bf, *flags)


@RULES.add("fcfid")
def _from_integer(lifter: Lifter, one: Instruction) -> None:
    bits = lifter.op(f"bitcast double {lifter.double(one.rb, exact=True)} to i64")
    lifter.set_double(one.rt, lifter.op(f"sitofp i64 {bits} to double"))


@RULES.add("fctid fctidz fctiw fctiwz")
def _to_integer(lifter: Lifter, one: Instruction) -> None:
    """Saturates; NaN gives the lowest integer. The upper word of fctiw's result, undefined in the books, is
    as on Unicorn: the sign, and 0 for NaN."""
    value = lifter.double(one.rb)
    if not one.mnemonic.endswith("z"):
        value = lifter.op(f"call double @llvm.roundeven.f64(double {value})")
    bits = 64 if "fctid" in one.mnemonic else 32
    found = lifter.op(f"call i{bits} @llvm.fptosi.sat.i{bits}.f64(double {value})")
    nan = lifter.op(f"fcmp uno double {value}, {value}")
    if bits == 32:
        found = lifter.op(f"sext i32 {found} to i64")
    lowest = 0x8000_0000 if bits == 32 else -(1 << 63)
    found = lifter.op(f"select i1 {nan}, i64 {lowest}, i64 {found}")
    lifter.set_double(one.rt, lifter.op(f"bitcast i64 {found} to double"))

"""The vector instructions that Xenon shares with AltiVec, VSCR.NJ = 1: denormal lanes are read as zero, and
become zero where they are results.

Element 0 is the most significant lane of the register: element e of n is lane n - 1 - e for LLVM.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from xenon.lifter.coarse import are_coarse
from xenon.lifter.ir_types import BIT, BYTES_16, FLOATS_4, I64, WORDS_4, Type, int_type, vector
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
from xenon.lifter.speculate import Grain
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction, signed

RULES = Rules()

_EXPONENT, _SIGN = 0x7F80_0000, 0x8000_0000
TYPES = {"b": BYTES_16, "h": vector(8, int_type(16)), "w": WORDS_4}
"""Integer lanes by the letter in a mnemonic."""


def without_denormals(words: Value) -> Value:
    """Lanes with denormals made zeros of their sign; takes and gives words."""
    normal = (words & _EXPONENT).icmp("ne", 0)
    return normal.select(words, words & _SIGN)


def flushed_floats(lifter: Lifter, number: int) -> Value:
    """A VR as floats, without denormals."""
    return _source(lifter, number)[1].bitcast(FLOATS_4)


@RULES.add("vaddfp vsubfp")
def _add(lifter: Lifter, instruction: Instruction) -> None:
    add = operator.add if instruction.general_name == "vaddfp" else operator.sub
    numbers = (instruction.va, instruction.vb)
    raw = [lifter.vector(number, FLOATS_4) for number in numbers]
    speculation = lifter.speculation
    if speculation is not None and (speculation.retreat is None or lifter.adds_coarse):
        if lifter.adds_coarse:
            speculation.require(are_coarse(lifter))
        else:
            for number in numbers:
                speculation.need(lifter.vector(number, WORDS_4), Grain.MULTIPLE)
        _speculated(lifter, instruction, add(raw[0], raw[1]), raw)
        return
    a, b = (flushed_floats(lifter, number) for number in numbers)
    total = add(a, b)
    operands = [total, *raw, total.like(0)]
    result = lifter.number(total, raw, lambda: total.call("nan4", operands, "preserve_allcc "))
    words = result.bitcast(WORDS_4)
    words = words if lifter.keeps_denormals else without_denormals(words)
    lifter.same(words, result)
    lifter.set_vector(instruction.vt, words)


@RULES.add("vmaddfp vnmsubfp")
def _multiply_add(lifter: Lifter, instruction: Instruction) -> None:
    """VA * VC + VB. A lane that is NaN, or so small that it had to be flushed before it was rounded, is
    computed again on the unlikely branch; a zero is looked at there only."""
    negative = instruction.general_name == "vnmsubfp"
    sources = [_source(lifter, number) for number in _fused_operands(instruction)]
    raw = [words.bitcast(FLOATS_4) for words, _ in sources]
    for floats, (words, _) in zip(raw, sources, strict=True):
        lifter.same(floats, words)
    if lifter.speculation is not None and lifter.speculation.retreat is None:
        first, addend, second = (words for words, _ in sources)
        grain = lifter.speculation.need_of_sum((first, second), addend)
        _speculated(lifter, instruction, _fused(raw[0], raw[1], raw[2], negative), raw, grain)
        return
    a, b, c = (flushed.bitcast(FLOATS_4) for _, flushed in sources)
    usual = _fused(a, b, c, negative)
    words = usual.bitcast(WORDS_4)
    if lifter.keeps_denormals:
        nan_operands = [usual, *raw]
        result = lifter.number(usual, raw, lambda: usual.call("nan4", nan_operands, "preserve_allcc "))
        lifter.set_vector(instruction.vt, result)
        return
    if lifter.speculation is not None:
        lifter.speculation.number(usual, raw)
        lifter.speculation.not_tiny(words)
        lifter.set_vector(instruction.vt, usual)
        return
    # Without its sign, doubled: NaN is above 0xff000000, zero and what is not above 2^-126 up to 0x01000000.
    # Turned around the end of the numbers, all of them lie together.
    doubled = words + words
    turned = doubled + 0x00FF_FFFF
    good = turned.icmp("ult", 0x0200_0000).no_lane()
    operands = [usual, a, b, c, *raw, lifter.constant(BIT, negative)]

    def only_zeros() -> Value:
        small = doubled + -1
        tiny = small.icmp("ult", 0x0100_0000)
        nan = doubled.icmp("ugt", 0xFF00_0000)
        return (tiny | nan).no_lane()

    def repair() -> Value:
        return usual.call("multiply_add", operands, "preserve_allcc ")

    lifter.set_vector(instruction.vt, lifter.number(usual, raw, repair, good, only_zeros))


def _fused_operands(instruction: Instruction) -> tuple[int, int | None, int]:
    """The VRs of a factor, of what is added and of the other factor; None is -0, which changes no product."""
    t, a, b, c = instruction.vector_fields
    if instruction.mnemonic == "vmulfp128":
        return a, None, b
    if instruction.mnemonic == "vmaddcfp128":
        return a, b, t
    return (a, t, b) if "128" in instruction.mnemonic else (a, b, c)


def _source(lifter: Lifter, number: int | None) -> tuple[Value, Value]:
    """The words of a VR, as they are and without denormals; -0 where there is no VR."""
    if number is None:
        zero = lifter.constant(WORDS_4, _SIGN)
        return zero, zero
    words = lifter.vector(number, WORDS_4)
    as_it_is = lifter.keeps_denormals or lifter.is_flushed(number)
    return words, words if as_it_is else without_denormals(words)


def _fused(a: Value, b: Value, c: Value, negative: bool) -> Value:
    """a * c + b, or -(a * c - b), rounded once."""
    addend = -b if negative else b
    result = a.intrinsic("fma", c, addend)
    return -result if negative else result


def _speculated(
    lifter: Lifter,
    instruction: Instruction,
    result: Value,
    operands: list[Value],
    grain: Grain = Grain.MULTIPLE,
) -> None:
    """Set VT to a result of operands that cannot make it denormal."""
    assert lifter.speculation is not None
    lifter.speculation.number(result, operands)
    lifter.speculation.promise(result, grain)
    lifter.set_vector(instruction.vt, result)


_LOGIC: dict[str, Callable[[Value, Value], Value]] = {
    "vand": lambda a, b: a & b,
    "vor": lambda a, b: a | b,
    "vxor": lambda a, b: a ^ b,
    "vandc": lambda a, b: a & ~b,
    "vnor": lambda a, b: ~(a | b),
}


@RULES.add(" ".join(_LOGIC))
def _logic(lifter: Lifter, instruction: Instruction) -> None:
    if instruction.general_name == "vxor" and instruction.va == instruction.vb:
        lifter.set_vector(instruction.vt, lifter.constant(WORDS_4, 0))
        return
    a, b = lifter.vector(instruction.va, WORDS_4), lifter.vector(instruction.vb, WORDS_4)
    lifter.set_vector(instruction.vt, _LOGIC[instruction.general_name](a, b))


@RULES.add("vsel")
def _select(lifter: Lifter, instruction: Instruction) -> None:
    """VC chooses by bits; in VMX128 it is VD."""
    target, *sources, third = instruction.vector_fields
    by = lifter.vector(target if "128" in instruction.mnemonic else third, WORDS_4)
    a, b = (lifter.vector(number, WORDS_4) for number in sources)
    lifter.set_vector(instruction.vt, a ^ ((a ^ b) & by))


def _lanewise(mnemonic: str, type: Type, compute: Callable[[Value, Value], Value]) -> None:
    """Register an instruction that computes each lane of VT from those of VA and VB."""

    def lift(lifter: Lifter, instruction: Instruction) -> None:
        a, b = lifter.vector(instruction.va, type), lifter.vector(instruction.vb, type)
        lifter.set_vector(instruction.vt, compute(a, b))

    RULES.add(mnemonic)(lift)


def _shifted(operation: str) -> Callable[[Value, Value], Value]:
    """A shift by the low bits of each lane."""
    return lambda a, b: getattr(a, operation)(b & (a.type.bits - 1))


def _intrinsic(name: str) -> Callable[[Value, Value], Value]:
    return lambda a, b: a.intrinsic(name, b)


def _averaged(signed: bool) -> Callable[[Value, Value], Value]:
    """Half of a + b + 1, without the carry that the sum would need."""

    def average(a: Value, b: Value) -> Value:
        half = (a ^ b).ashr(1) if signed else (a ^ b).lshr(1)
        return (a | b) - half

    return average


for _letter, _type in TYPES.items():
    _lanewise(f"vaddu{_letter}m", _type, operator.add)
    _lanewise(f"vsubu{_letter}m", _type, operator.sub)
    for _name, _operation in (("vsl", "shl"), ("vsr", "lshr"), ("vsra", "ashr")):
        _lanewise(f"{_name}{_letter}", _type, _shifted(_operation))
    _lanewise(f"vrl{_letter}", _type, lambda a, b: a.intrinsic("fshl", a, b))
    _lanewise(f"vavgu{_letter}", _type, _averaged(signed=False))
    _lanewise(f"vavgs{_letter}", _type, _averaged(signed=True))
    for _name in ("smin", "smax", "umin", "umax"):
        _lanewise(f"v{_name[1:]}{_name[0]}{_letter}", _type, _intrinsic(_name))


@RULES.add("vspltb vsplth vspltw")
def _splat(lifter: Lifter, instruction: Instruction) -> None:
    type = TYPES[instruction.general_name[-1]]
    lane = type.lanes - 1 - (instruction.ra & (type.lanes - 1))
    source = lifter.vector(instruction.vb, type)
    _set_picked(lifter, instruction, source.shuffle([lane] * type.lanes), source)


@RULES.add("vspltisb vspltish vspltisw")
def _splat_immediate(lifter: Lifter, instruction: Instruction) -> None:
    type = TYPES[instruction.general_name[-1]]
    lifter.set_vector(instruction.vt, lifter.lanes(type, [signed(instruction.ra, 5)] * type.lanes))


def _pick(lifter: Lifter, instruction: Instruction, type: Type, elements: list[int]) -> None:
    """Set VT to these elements of VA and VB, whose elements follow VA's."""
    count = type.lanes
    lanes = [count - 1 - element if element < count else 3 * count - 1 - element for element in elements]
    a, b = lifter.vector(instruction.va, type), lifter.vector(instruction.vb, type)
    _set_picked(lifter, instruction, a.shuffle(lanes[::-1], b), a, b)


def _set_picked(lifter: Lifter, instruction: Instruction, result: Value, *sources: Value) -> None:
    """Set VT to a result that consists of the sources' lanes."""
    if lifter.speculation is not None and result.type == WORDS_4:
        lifter.speculation.picked(result, sources)
    lifter.set_vector(instruction.vt, result)


@RULES.add("vmrghb vmrghh vmrghw vmrglb vmrglh vmrglw")
def _merge(lifter: Lifter, instruction: Instruction) -> None:
    type = TYPES[instruction.general_name[-1]]
    half = type.lanes // 2
    first = 0 if instruction.mnemonic[4] == "h" else half
    pairs = [(index, type.lanes + index) for index in range(first, first + half)]
    _pick(lifter, instruction, type, [element for pair in pairs for element in pair])


@RULES.add("vsldoi")
def _shift_pair(lifter: Lifter, instruction: Instruction) -> None:
    by = instruction.rc & 15
    _pick(lifter, instruction, BYTES_16, list(range(by, by + 16)))


@RULES.add("vperm")
def _permute(lifter: Lifter, instruction: Instruction) -> None:
    numbers = instruction.vector_fields[1:]
    a, b, control = (lifter.vector(number, BYTES_16) for number in numbers)
    lanes = ~control & 15
    from_b = (control & 16).icmp("ne", 0)
    picked = [_picked(lifter, source, lanes) for source in (a, b)]
    lifter.set_vector(instruction.vt, from_b.select(picked[1], picked[0]))


def _picked(lifter: Lifter, source: Value, lanes: Value) -> Value:
    """The byte of `source` that each of `lanes` names."""
    if lifter.target.x86:
        return source.call("llvm.x86.ssse3.pshuf.b.128", [source, lanes])
    result = lifter.poison(BYTES_16)
    for index in range(16):
        lane = lanes.extract(lifter.constant(I64, index))
        result = result.insert(source.extract(lane), index)
    return result


_COMPARISONS = {
    "vcmpeqfp": "oeq", "vcmpgefp": "oge", "vcmpgtfp": "ogt",
    **{f"vcmpequ{size}": "eq" for size in "bhw"},
    **{f"vcmpgtu{size}": "ugt" for size in "bhw"},
    **{f"vcmpgts{size}": "sgt" for size in "bhw"},
}  # fmt: skip


@RULES.add(" ".join(f"{name} {name}." for name in _COMPARISONS))
def _compare(lifter: Lifter, instruction: Instruction) -> None:
    """All ones where it holds; the form with a dot sets CR6 to "in all lanes" and "in none"."""
    name = instruction.general_name.rstrip(".")
    if name.endswith("fp"):
        a, b = flushed_floats(lifter, instruction.va), flushed_floats(lifter, instruction.vb)
        lanes = a.fcmp(_COMPARISONS[name], b)
    else:
        type = TYPES[name[-1]]
        a, b = lifter.vector(instruction.va, type), lifter.vector(instruction.vb, type)
        lanes = a.icmp(_COMPARISONS[name], b)
    lifter.set_vector(instruction.vt, lanes.sext(a.type.bits))
    if instruction.mnemonic.endswith("."):
        bits = lanes.bitcast(int_type(a.type.lanes))
        everywhere = bits.icmp("eq", -1)
        lifter.set_field(6, everywhere, lifter.constant(BIT, False), bits.icmp("eq", 0))


_HALVES = vector(8, int_type(16))
_UNPACKED = {"b": (BYTES_16, _HALVES), "h": (_HALVES, WORDS_4)}


@RULES.add("vupkhsb vupklsb vupkhsh vupklsh")
def _unpack(lifter: Lifter, instruction: Instruction) -> None:
    """The first or the last half of the elements, as numbers with sign of twice the width. VMX128 names both
    widths for bytes; VA tells them apart."""
    halves = instruction.mnemonic.endswith("h") or ("128" in instruction.mnemonic and instruction.va == 96)
    narrow, wide = _UNPACKED["h" if halves else "b"]
    first = wide.lanes if instruction.mnemonic[4] == "h" else 0
    half = lifter.vector(instruction.vb, narrow).shuffle(range(first, first + wide.lanes))
    lifter.set_vector(instruction.vt, half.sext(wide.bits))


@RULES.add("vcfsx vcfux")
def _from_integers(lifter: Lifter, instruction: Instruction) -> None:
    words = lifter.vector(instruction.vb, WORDS_4)
    whole = words.to_float(FLOATS_4, signed=instruction.mnemonic in ("vcfsx", "vcsxwfp128"))
    scale = 2.0**-instruction.ra  # UIM; exact
    result = whole * scale
    if lifter.speculation is not None:
        lifter.speculation.promise(result, Grain.FACTOR if instruction.ra else Grain.INTEGER)
    lifter.set_vector(instruction.vt, result)

"""The vector instructions that Xenon shares with AltiVec, VSCR.NJ = 1: denormal lanes are read as zero, and
become zero where they are results. Element 0 is the most significant lane of the register.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xenon.lifter.rule import Rules
from xenon.lifter.speculate import Grain
from xenon.powerpc.decode import Instruction, signed

if TYPE_CHECKING:
    from xenon.lifter.lift import Lifter

RULES = Rules()

_FLOATS, _WORDS, _BYTES = "<4 x float>", "<4 x i32>", "<16 x i8>"
_EXPONENT, _SIGN = 0x7F800000, 0x80000000
_LANES = {"b": _BYTES, "h": "<8 x i16>", "w": _WORDS}
_WIDTH = {"b": 8, "h": 16, "w": 32}


def _all(kind: str, value: int) -> str:
    count, lane = kind[1:-1].split(" x ")
    return "<" + ", ".join([f"{lane} {value}"] * int(count)) + ">"


def _flushed(lifter: Lifter, words: str) -> str:
    """Lanes with denormals made zeros of their sign; takes and gives words."""
    exponent = lifter.op(f"and {_WORDS} {words}, {_all(_WORDS, _EXPONENT)}")
    normal = lifter.op(f"icmp ne {_WORDS} {exponent}, zeroinitializer")
    zero = lifter.op(f"and {_WORDS} {words}, {_all(_WORDS, _SIGN)}")
    return lifter.op(f"select <4 x i1> {normal}, {_WORDS} {words}, {_WORDS} {zero}")


def _floats(lifter: Lifter, number: int) -> str:
    words = lifter.vector(number, _WORDS)
    if f"v{number}" not in lifter.narrow:
        words = _flushed(lifter, words)
    return lifter.op(f"bitcast {_WORDS} {words} to {_FLOATS}")


@RULES.add("vaddfp vsubfp")
def _add(lifter: Lifter, one: Instruction) -> None:
    how = "fadd" if one.mnemonic == "vaddfp" else "fsub"
    raw = [lifter.vector(number, _FLOATS) for number in (one.ra, one.rb)]
    if lifter.speculation is not None:
        for number in (one.ra, one.rb):
            lifter.speculation.need(lifter.vector(number, _WORDS), Grain.MULTIPLE)
        _speculated(lifter, one, lifter.op(f"{how} {_FLOATS} {raw[0]}, {raw[1]}"), raw)
        return
    a, b = _floats(lifter, one.ra), _floats(lifter, one.rb)
    found = lifter.op(f"{how} {_FLOATS} {a}, {b}")
    operands = ", ".join(f"{_FLOATS} {value}" for value in (found, *raw, "zeroinitializer"))
    found = lifter.number(_FLOATS, found, raw, f"call preserve_allcc {_FLOATS} @nan4({operands})")
    lifter.set_vector(one.rt, _WORDS, _flushed(lifter, lifter.op(f"bitcast {_FLOATS} {found} to {_WORDS}")))


@RULES.add("vmaddfp vnmsubfp")
def _multiply_add(lifter: Lifter, one: Instruction) -> None:
    """VA * VC + VB. A lane that is NaN, or so small that it had to be flushed before it was rounded, is
    computed again on the unlikely branch; a zero is looked at there only."""
    negative = one.mnemonic == "vnmsubfp"
    raw = [lifter.vector(number, _FLOATS) for number in (one.ra, one.rb, one.rc)]
    if lifter.speculation is not None:
        for number, grain in ((one.ra, Grain.FACTOR), (one.rc, Grain.FACTOR), (one.rb, Grain.MULTIPLE)):
            lifter.speculation.need(lifter.vector(number, _WORDS), grain)
        _speculated(lifter, one, _fused(lifter, raw[0], raw[1], raw[2], negative), raw)
        return
    a, b, c = (_floats(lifter, number) for number in (one.ra, one.rb, one.rc))
    found = _fused(lifter, a, b, c, negative)
    words = lifter.op(f"bitcast {_FLOATS} {found} to {_WORDS}")
    # Without its sign, doubled: NaN is above 0xff000000, zero and what is not above 2^-126 up to 0x01000000.
    # Turned around the end of the numbers, all of them lie together.
    doubled = lifter.op(f"add {_WORDS} {words}, {words}")
    turned = lifter.op(f"add {_WORDS} {doubled}, {_all(_WORDS, 0x00FFFFFF)}")
    doubtful = lifter.op(f"icmp ult {_WORDS} {turned}, {_all(_WORDS, 0x02000000)}")
    good = lifter.none(doubtful, 4)
    operands = ", ".join(f"{_FLOATS} {value}" for value in (found, a, b, c, *raw))
    operands += f", i1 {'true' if negative else 'false'}"
    repair = f"call preserve_allcc {_FLOATS} @multiply_add({operands})"

    def only_zeros() -> str:
        small = lifter.op(f"add {_WORDS} {doubled}, {_all(_WORDS, -1)}")
        tiny = lifter.op(f"icmp ult {_WORDS} {small}, {_all(_WORDS, 0x01000000)}")
        nan = lifter.op(f"icmp ugt {_WORDS} {doubled}, {_all(_WORDS, 0xFF000000)}")
        return lifter.none(lifter.op(f"or <4 x i1> {tiny}, {nan}"), 4)

    lifter.set_vector(one.rt, _FLOATS, lifter.number(_FLOATS, found, raw, repair, good, only_zeros))


def _fused(lifter: Lifter, a: str, b: str, c: str, negative: bool) -> str:
    addend = lifter.op(f"fneg {_FLOATS} {b}") if negative else b
    found = lifter.op(f"call {_FLOATS} @llvm.fma.v4f32({_FLOATS} {a}, {_FLOATS} {c}, {_FLOATS} {addend})")
    return lifter.op(f"fneg {_FLOATS} {found}") if negative else found


def _speculated(lifter: Lifter, one: Instruction, found: str, operands: list[str]) -> None:
    """Set VT to a result of operands that cannot make it denormal."""
    assert lifter.speculation is not None
    lifter.speculation.number(_FLOATS, found, operands)
    lifter.speculation.promise(found, Grain.MULTIPLE)
    lifter.set_vector(one.rt, _FLOATS, found)


_LOGIC = {"vand": "and", "vor": "or", "vxor": "xor", "vandc": "and", "vnor": "or"}


@RULES.add(" ".join(_LOGIC))
def _logic(lifter: Lifter, one: Instruction) -> None:
    if one.mnemonic == "vxor" and one.ra == one.rb:
        lifter.set_vector(one.rt, _WORDS, "zeroinitializer")
        return
    a, b = lifter.vector(one.ra, _WORDS), lifter.vector(one.rb, _WORDS)
    ones = _all(_WORDS, -1)
    if one.mnemonic == "vandc":
        b = lifter.op(f"xor {_WORDS} {b}, {ones}")
    found = lifter.op(f"{_LOGIC[one.mnemonic]} {_WORDS} {a}, {b}")
    if one.mnemonic == "vnor":
        found = lifter.op(f"xor {_WORDS} {found}, {ones}")
    lifter.set_vector(one.rt, _WORDS, found)


@RULES.add("vsel")
def _select(lifter: Lifter, one: Instruction) -> None:
    a, b, c = (lifter.vector(number, _WORDS) for number in (one.ra, one.rb, one.rc))
    changed = lifter.op(f"and {_WORDS} {lifter.op(f'xor {_WORDS} {a}, {b}')}, {c}")
    lifter.set_vector(one.rt, _WORDS, lifter.op(f"xor {_WORDS} {a}, {changed}"))


def _lanewise(name: str, size: str, text: str) -> None:
    """`text` with {t} for the type and {a}, {b} for the operands."""

    def lift(lifter: Lifter, one: Instruction) -> None:
        kind = _LANES[size]
        a, b = lifter.vector(one.ra, kind), lifter.vector(one.rb, kind)
        lifter.set_vector(one.rt, kind, lifter.op(text.format(t=kind, a=a, b=b)))

    RULES.add(name)(lift)


for _size in "bhw":
    _lanewise(f"vaddu{_size}m", _size, "add {t} {a}, {b}")
    _lanewise(f"vsubu{_size}m", _size, "sub {t} {a}, {b}")
    for _sign in "su":
        _suffix = f"v{ {'b': 16, 'h': 8, 'w': 4}[_size] }i{_WIDTH[_size]}"
        for _how in ("min", "max"):
            _lanewise(
                f"v{_how}{_sign}{_size}",
                _size,
                f"call {{t}} @llvm.{_sign}{_how}.{_suffix}({{t}} {{a}}, {{t}} {{b}})",
            )


def _shift(lifter: Lifter, one: Instruction) -> None:
    size = one.mnemonic[-1]
    kind, how = _LANES[size], {"vsl": "shl", "vsr": "lshr", "vsra": "ashr"}[one.mnemonic[:-1]]
    a = lifter.vector(one.ra, kind)
    by = lifter.op(f"and {kind} {lifter.vector(one.rb, kind)}, {_all(kind, _WIDTH[size] - 1)}")
    lifter.set_vector(one.rt, kind, lifter.op(f"{how} {kind} {a}, {by}"))


RULES.add(" ".join(f"{how}{size}" for how in ("vsl", "vsr", "vsra") for size in "bhw"))(_shift)


@RULES.add("vspltb vsplth vspltw")
def _splat(lifter: Lifter, one: Instruction) -> None:
    kind = _LANES[one.mnemonic[-1]]
    count = int(kind[1:-1].split(" x ")[0])
    lane = count - 1 - (one.ra & (count - 1))
    order = ", ".join([f"i32 {lane}"] * count)
    source = lifter.vector(one.rb, kind)
    found = lifter.op(f"shufflevector {kind} {source}, {kind} poison, <{count} x i32> <{order}>")
    lifter.set_vector(one.rt, kind, found)


@RULES.add("vspltisb vspltish vspltisw")
def _splat_immediate(lifter: Lifter, one: Instruction) -> None:
    kind = _LANES[one.mnemonic[-1]]
    lifter.set_vector(one.rt, kind, _all(kind, signed(one.ra, 5)))


@RULES.add("vmrghb vmrghh vmrghw vmrglb vmrglh vmrglw")
def _merge(lifter: Lifter, one: Instruction) -> None:
    kind = _LANES[one.mnemonic[-1]]
    count = int(kind[1:-1].split(" x ")[0])
    first = 0 if one.mnemonic[4] == "h" else count // 2
    elements = [element for index in range(first, first + count // 2) for element in (index, count + index)]
    # Element e of A is lane count - 1 - e; B's lanes follow A's in a shuffle.
    lanes = [count - 1 - e if e < count else count + (2 * count - 1 - e) for e in elements]
    order = ", ".join(f"i32 {lane}" for lane in reversed(lanes))
    a, b = lifter.vector(one.ra, kind), lifter.vector(one.rb, kind)
    found = lifter.op(f"shufflevector {kind} {a}, {kind} {b}, <{count} x i32> <{order}>")
    lifter.set_vector(one.rt, kind, found)


@RULES.add("vsldoi")
def _shift_pair(lifter: Lifter, one: Instruction) -> None:
    by = one.rc & 15
    lanes = [15 - e if e < 16 else 16 + (31 - e) for e in range(by, by + 16)]
    order = ", ".join(f"i32 {lane}" for lane in reversed(lanes))
    a, b = lifter.vector(one.ra, _BYTES), lifter.vector(one.rb, _BYTES)
    found = lifter.op(f"shufflevector {_BYTES} {a}, {_BYTES} {b}, <16 x i32> <{order}>")
    lifter.set_vector(one.rt, _BYTES, found)


@RULES.add("vperm")
def _permute(lifter: Lifter, one: Instruction) -> None:
    a, b, control = (lifter.vector(number, _BYTES) for number in (one.ra, one.rb, one.rc))
    lanes = lifter.op(f"xor {_BYTES} {control}, {_all(_BYTES, -1)}")
    lanes = lifter.op(f"and {_BYTES} {lanes}, {_all(_BYTES, 15)}")
    second = lifter.op(f"and {_BYTES} {control}, {_all(_BYTES, 16)}")
    second = lifter.op(f"icmp ne {_BYTES} {second}, zeroinitializer")
    picked = [_picked(lifter, source, lanes) for source in (a, b)]
    found = lifter.op(f"select <16 x i1> {second}, {_BYTES} {picked[1]}, {_BYTES} {picked[0]}")
    lifter.set_vector(one.rt, _BYTES, found)


def _picked(lifter: Lifter, source: str, lanes: str) -> str:
    """The byte of `source` that each of `lanes` names."""
    if lifter.x86:
        return lifter.op(f"call {_BYTES} @llvm.x86.ssse3.pshuf.b.128({_BYTES} {source}, {_BYTES} {lanes})")
    found = "poison"
    for index in range(16):
        lane = lifter.op(f"extractelement {_BYTES} {lanes}, i64 {index}")
        byte = lifter.op(f"extractelement {_BYTES} {source}, i8 {lane}")
        found = lifter.op(f"insertelement {_BYTES} {found}, i8 {byte}, i64 {index}")
    return found


_COMPARISONS = {
    "vcmpeqfp": "fcmp oeq", "vcmpgefp": "fcmp oge", "vcmpgtfp": "fcmp ogt",
    **{f"vcmpequ{size}": "icmp eq" for size in "bhw"},
    **{f"vcmpgtu{size}": "icmp ugt" for size in "bhw"},
    **{f"vcmpgts{size}": "icmp sgt" for size in "bhw"},
}  # fmt: skip


def _compare(lifter: Lifter, one: Instruction) -> None:
    name = one.mnemonic.rstrip(".")
    if name.endswith("fp"):
        a, b, kind, words = _floats(lifter, one.ra), _floats(lifter, one.rb), _FLOATS, _WORDS
    else:
        kind = words = _LANES[name[-1]]
        a, b = lifter.vector(one.ra, kind), lifter.vector(one.rb, kind)
    count = int(words[1:-1].split(" x ")[0])
    lanes = lifter.op(f"{_COMPARISONS[name]} {kind} {a}, {b}")
    lifter.set_vector(one.rt, words, lifter.op(f"sext <{count} x i1> {lanes} to {words}"))
    if one.mnemonic.endswith("."):
        bits = lifter.op(f"bitcast <{count} x i1> {lanes} to i{count}")
        everywhere = lifter.op(f"icmp eq i{count} {bits}, -1")
        lifter.set_field(6, everywhere, "false", lifter.op(f"icmp eq i{count} {bits}, 0"))


RULES.add(" ".join(_COMPARISONS))(_compare)
RULES.add(" ".join(f"{name}." for name in _COMPARISONS))(_compare)


@RULES.add("vcfsx vcfux")
def _from_integers(lifter: Lifter, one: Instruction) -> None:
    how = "sitofp" if one.mnemonic == "vcfsx" else "uitofp"
    whole = lifter.op(f"{how} {_WORDS} {lifter.vector(one.rb, _WORDS)} to {_FLOATS}")
    scale = f"0x{(1023 - one.ra) << 52:016X}"  # 2^-UIM, exact
    scales = "<" + ", ".join([f"float {scale}"] * 4) + ">"
    lifter.set_vector(one.rt, _FLOATS, lifter.op(f"fmul {_FLOATS} {whole}, {scales}"))

"""Vector instructions on integers that saturate, carry or change the width of elements, shifts of a whole VR,
and VSCR, whose bit SAT says that something has saturated."""

from __future__ import annotations

from collections.abc import Callable

from xenon.lifter.ir_types import BYTES_16, I64, WORDS_4, Type, int_type
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
from xenon.lifter.rules_vector import TYPES
from xenon.lifter.slots import SAT
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction

RULES = Rules()

NON_JAVA = 0x0001_0000
"""VSCR's bit NJ, which is set while compiled code runs."""
_LINE = int_type(128)


def note_saturation(lifter: Lifter, lanes: Value) -> None:
    """Set SAT where one of these lanes is true."""
    lifter.set(SAT, lifter.get(SAT) | ~lanes.no_lane())


def _saturating(mnemonic: str, type: Type, operation: str, plain: Callable[[Value, Value], Value]) -> None:
    """Register a sum or difference that stops at the ends of its type."""

    def lift(lifter: Lifter, instruction: Instruction) -> None:
        a, b = lifter.vector(instruction.va, type), lifter.vector(instruction.vb, type)
        result = a.intrinsic(f"{operation}.sat", b)
        note_saturation(lifter, result.icmp("ne", plain(a, b)))
        lifter.set_vector(instruction.vt, result)

    RULES.add(mnemonic)(lift)


for _letter, _type in TYPES.items():
    for _sign in "us":
        _saturating(f"vadd{_sign}{_letter}s", _type, f"{_sign}add", lambda a, b: a + b)
        _saturating(f"vsub{_sign}{_letter}s", _type, f"{_sign}sub", lambda a, b: a - b)


@RULES.add("vaddcuw vsubcuw")
def _carry(lifter: Lifter, instruction: Instruction) -> None:
    """1 in each word whose sum carries, or whose difference does not borrow."""
    a, b = (lifter.vector(number, WORDS_4) for number in (instruction.va, instruction.vb))
    carries = (a + b).icmp("ult", a) if instruction.mnemonic == "vaddcuw" else a.icmp("uge", b)
    lifter.set_vector(instruction.vt, carries.zext(32))


# Packs: the elements of VA and then those of VB, each in half its width. No value is wider than 128 bits (see
# the dot products of VMX128).


def _set_packed(
    lifter: Lifter, instruction: Instruction, type: Type, narrowed: Callable[[Value], Value]
) -> None:
    """Set VT to the elements of both, of this type, each by a function that gives half the bits."""
    a, b = (narrowed(lifter.vector(number, type)) for number in (instruction.va, instruction.vb))
    lifter.set_vector(instruction.vt, b.shuffle(range(2 * type.lanes), a))


_WIDE = {"h": TYPES["h"], "w": TYPES["w"]}


@RULES.add("vpkuhum vpkuwum vpkuhum128 vpkuwum128")
def _pack(lifter: Lifter, instruction: Instruction) -> None:
    type = _WIDE[instruction.mnemonic[4]]
    _set_packed(lifter, instruction, type, lambda elements: elements.trunc(type.bits // 2))


_PACKS = "vpkuhus vpkuwus vpkshus vpkswus vpkshss vpkswss"


@RULES.add(" ".join(f"{name} {name}128" for name in _PACKS.split()))
def _pack_saturating(lifter: Lifter, instruction: Instruction) -> None:
    """The letters: the operand's sign, its width, the result's sign."""
    from_sign, width, to_sign = list(instruction.mnemonic[3:6])
    type = _WIDE[width]
    bits = type.bits // 2
    low, high = (0, (1 << bits) - 1) if to_sign == "u" else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)

    def narrowed(elements: Value) -> Value:
        if from_sign == "u":
            clamped = elements.intrinsic("umin", high)
        else:
            clamped = elements.intrinsic("smax", low).intrinsic("smin", high)
        note_saturation(lifter, clamped.icmp("ne", elements))
        return clamped.trunc(bits)

    _set_packed(lifter, instruction, type, narrowed)


@RULES.add("vpkpx")
def _pack_pixels(lifter: Lifter, instruction: Instruction) -> None:
    """Of each word the lowest bit of the first byte and the five highest of the others."""

    def narrowed(words: Value) -> Value:
        top_and_red = words.lshr(9) & 0xFC00
        green, blue = words.lshr(6) & 0x03E0, words.lshr(3) & 0x001F
        return (top_and_red | green | blue).trunc(16)

    _set_packed(lifter, instruction, WORDS_4, narrowed)


@RULES.add("vupkhpx vupklpx")
def _unpack_pixels(lifter: Lifter, instruction: Instruction) -> None:
    first = 4 if instruction.mnemonic == "vupkhpx" else 0
    pixels = lifter.vector(instruction.vb, TYPES["h"]).shuffle(range(first, first + 4)).sext(32)
    red, green = (pixels.shl(6) & 0x001F_0000), (pixels.shl(3) & 0x1F00)
    lifter.set_vector(instruction.vt, (pixels & 0xFF00_0000) | red | green | (pixels & 0x1F))


# Shifts of all 128 bits


@RULES.add("vsl vsr")
def _shift(lifter: Lifter, instruction: Instruction) -> None:
    """By 0 to 7 bits. The books want the same count in each byte of VB; where they differ, each byte of the
    result is shifted by its own, as captured on a console."""
    source = lifter.vector(instruction.va, BYTES_16)
    by = lifter.vector(instruction.vb, BYTES_16) & 7
    if instruction.mnemonic == "vsl":
        behind = source.shuffle([16, *range(15)], source.like(0))
        result = source.intrinsic("fshl", behind, by)
    else:
        before = source.shuffle(range(1, 17), source.like(0))
        result = before.intrinsic("fshr", source, by)
    lifter.set_vector(instruction.vt, result)


@RULES.add("vslo vsro vslo128 vsro128")
def _shift_bytes(lifter: Lifter, instruction: Instruction) -> None:
    """By 0 to 15 bytes."""
    count = lifter.vector(instruction.vb, WORDS_4).extract(lifter.constant(I64, 0)) & 0x78
    line = lifter.vector(instruction.va, WORDS_4).bitcast(_LINE)
    by = count.zext(128)
    shifted = line.shl(by) if instruction.general_name == "vslo" else line.lshr(by)
    lifter.set_vector(instruction.vt, shifted.bitcast(WORDS_4))


# VSCR: in element 3


@RULES.add("mfvscr")
def _move_from_status(lifter: Lifter, instruction: Instruction) -> None:
    status = lifter.get(SAT).zext(32) | NON_JAVA
    lifter.set_vector(instruction.vt, lifter.constant(WORDS_4, 0).insert(status, 0))


@RULES.add("mtvscr")
def _move_to_status(lifter: Lifter, instruction: Instruction) -> None:
    """The interpreter clears NJ."""
    status = lifter.vector(instruction.vb, WORDS_4).extract(lifter.constant(I64, 0))
    lifter.leave_unless((status & NON_JAVA).icmp("ne", 0))
    lifter.set(SAT, status.trunc(1))

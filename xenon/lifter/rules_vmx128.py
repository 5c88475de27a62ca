"""VMX128: AltiVec's instructions on 128 registers, by their rules, and those that only Xenon has.

What they do is known from open-source emulators and recompilers, and from cases captured on consoles; names
of packed types are Direct3D's. By analogy are: which NaN a dot product gives, the rounding of half precision,
and that VB's element is chosen where the fields of a pack name no element of VD.
"""

from __future__ import annotations

from collections.abc import Sequence

from xenon.lifter import rules_vector
from xenon.lifter.ir_types import DOUBLE, FLOAT, I32, I64, WORDS_4
from xenon.lifter.lift import Lifter
from xenon.lifter.packed import pack, unpack
from xenon.lifter.rule import Rules
from xenon.lifter.rules_vector import flushed_floats
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction

RULES = Rules()

_SHARED = (
    "vaddfp vsubfp vmaddfp vnmsubfp vand vandc vnor vor vxor vsel vperm vsldoi vrlw vslw vsraw vsrw "
    "vmrghw vmrglw vspltw vspltisw vupkhsb vupklsb"
)
_COMPARISONS = "vcmpeqfp vcmpgefp vcmpgtfp vcmpequw"
for _name in _SHARED.split():
    RULES.add(f"{_name}128")(rules_vector.RULES[_name])
for _name in _COMPARISONS.split():
    RULES.add(f"{_name}128 {_name}128.")(rules_vector.RULES[_name])
RULES.add("vmulfp128 vmaddcfp128")(rules_vector.RULES["vmaddfp"])
RULES.add("vcsxwfp128 vcuxwfp128")(rules_vector.RULES["vcfsx"])


# Dot products


@RULES.add("vmsum3fp128 vmsum4fp128")
def _dot_product(lifter: Lifter, instruction: Instruction) -> None:
    """The sum of three or four products in all elements: computed in double precision, first the pairs at a
    distance of two, and rounded once. A sum that is too large for a single gives NaN.

    No value is wider than 128 bits: what is wider loses its upper half in the calls of repairs on x86, which
    leave registers alone but for that.
    """
    three = instruction.mnemonic == "vmsum3fp128"
    numbers = (instruction.va, instruction.vb)
    a, b = (flushed_floats(lifter, number) for number in numbers)
    first, second = (a.shuffle(lanes).fpext() * b.shuffle(lanes).fpext() for lanes in ((3, 2), (1, 0)))
    sums = first + second
    left, right = (lifter.constant(I64, lane) for lane in (0, 1))
    total = sums.extract(left) + (first if three else sums).extract(right)
    near = total.fptrunc()
    bits = near.bitcast(I32)
    size = total.bitcast(I64) & 0x7FFF_FFFF_FFFF_FFFF
    small = size.bitcast(DOUBLE).fcmp("olt", 2.0**-126)
    flushed = bits if lifter.keeps_denormals else small.select(bits & 0x8000_0000, bits)
    finite = (bits & 0x7F80_0000).icmp("ne", 0x7F80_0000)

    def repair() -> Value:
        """Infinite, NaN, or an overflow."""
        overflow = near.is_number() & size.icmp("ult", 0x7FF0_0000_0000_0000)
        kept = overflow.select(0x7FC0_0000, flushed)
        nan = _first_nan(lifter, numbers, (0, 2, 1) if three else (0, 2, 1, 3))
        return near.is_number().select(kept, nan)

    result = lifter.unless(finite, flushed, repair)
    lifter.set_vector(instruction.vt, result.splat(4))


def _first_nan(lifter: Lifter, numbers: Sequence[int], order: Sequence[int]) -> Value:
    """The first NaN, made quiet, among elements in this order, VA's before VB's; or the default NaN."""
    result = lifter.constant(I32, 0x7FC0_0000)
    for element in reversed(order):
        for number in reversed(numbers):
            bits = lifter.vector(number, WORDS_4).extract(lifter.constant(I64, 3 - element))
            nan = bits.bitcast(FLOAT).fcmp("uno", bits.bitcast(FLOAT))
            result = nan.select(bits | 0x0040_0000, result)
    return result


# Words moved


@RULES.add("vpermwi128")
def _permute_words(lifter: Lifter, instruction: Instruction) -> None:
    """Element i of VD is the element of VB that the i-th two bits of an immediate name."""
    immediate = instruction.ra | instruction.word >> 1 & 0xE0
    elements = [immediate >> shift & 3 for shift in (6, 4, 2, 0)]
    source = lifter.vector(instruction.vb, WORDS_4)
    result = source.shuffle([3 - element for element in reversed(elements)])
    if lifter.speculation is not None:
        lifter.speculation.picked(result, (source,))
    lifter.set_vector(instruction.vt, result)


def _turned(words: Value, by: int) -> Value:
    """Words rotated to the left by so many elements."""
    return words.shuffle([(lane - by) % 4 for lane in range(4)])


def _inserted(lifter: Lifter, instruction: Instruction, source: Value, elements: Sequence[int]) -> Value:
    """VD with these elements of `source` in the place of its own."""
    lanes = [7 - element if element in elements else 3 - element for element in range(3, -1, -1)]
    return lifter.vector(instruction.vt, WORDS_4).shuffle(lanes, source)


def _rotation(instruction: Instruction) -> int:
    return instruction.word >> 6 & 3


@RULES.add("vrlimi128")
def _rotate_and_insert(lifter: Lifter, instruction: Instruction) -> None:
    """VB's words, rotated to the left; those that the mask names replace VD's."""
    turned = _turned(lifter.vector(instruction.vb, WORDS_4), _rotation(instruction))
    mask = instruction.ra
    elements = [element for element in range(4) if mask >> (3 - element) & 1]
    lifter.set_vector(instruction.vt, _inserted(lifter, instruction, turned, elements))


# Direct3D's packed types


@RULES.add("vpkd3d128")
def _pack(lifter: Lifter, instruction: Instruction) -> None:
    """VB packed into one or two words at the right, rotated to the left by words and put into VD. Of two
    words that a rotation by three parts, the mask takes one."""
    type, mask, by = instruction.ra >> 2, instruction.ra & 3, _rotation(instruction)
    turned = _turned(pack(lifter, lifter.vector(instruction.vb, WORDS_4), type), by)
    last, one_before = (3 - by) % 4, (2 - by) % 4
    elements = {0: [], 1: [last], 2: [one_before, last], 3: [one_before, last]}[mask]
    if by == 3 and mask > 1:
        elements = [last] if mask == 2 else [one_before]
    lifter.set_vector(instruction.vt, _inserted(lifter, instruction, turned, elements))


@RULES.add("vupkd3d128")
def _unpack(lifter: Lifter, instruction: Instruction) -> None:
    words = lifter.vector(instruction.vb, WORDS_4)
    lifter.set_vector(instruction.vt, unpack(lifter, words, instruction.ra >> 2))

"""Direct3D's packed vertex types as VMX128 has them: bytes, shorts, numbers of 10 and 20 bits, half floats.

An integer n of so many bits is the float 3 + n * 2^-22: its last bits are n, and a multiply-add makes a
number of any range of it. Bytes unpack to 1 + n * 2^-23. Half floats are those of the GPU: no infinities and
no NaN, the highest exponent counts as any other; denormals are zero.
"""

from __future__ import annotations

from dataclasses import dataclass

from xenon.lifter.ir_types import I32, I64, WORDS_4
from xenon.lifter.lift import Lifter
from xenon.lifter.values import Value

_THREE, _ONE, _NAN = 0x4040_0000, 0x3F80_0000, 0x7FC0_0000


@dataclass(frozen=True, slots=True)
class _Field:
    """An integer in the last 64 bits of a VR: its lowest bit and its width."""

    place: int
    width: int
    signed: bool = True

    @property
    def bounds(self) -> tuple[int, int]:
        """The bits of the floats that the lowest and the highest number are; a signed one is symmetrical."""
        most = (1 << (self.width - self.signed)) - 1
        return _THREE - most if self.signed else _THREE, _THREE + most


def _shorts(*places: int) -> tuple[_Field, ...]:
    return tuple(_Field(place, 16) for place in places)


_INTEGERS: dict[int, tuple[_Field, ...]] = {  # by type: the fields of x, y, z and w
    0: tuple(_Field(place, 8, False) for place in (16, 8, 0, 24)),  # D3DCOLOR
    1: _shorts(16, 0),
    2: (_Field(0, 10), _Field(10, 10), _Field(20, 10), _Field(30, 2, False)),
    4: _shorts(48, 32, 16, 0),
    6: (_Field(0, 20), _Field(20, 20), _Field(40, 20), _Field(60, 4, False)),
}
_HALVES = {3: (16, 0), 5: (48, 32, 16, 0)}
"""By type: the places of x, y, z and w, where they are half floats."""
_ROUNDED = 5
"""The type whose half floats are rounded to nearest even; the other's are cut off."""


def _lane(lifter: Lifter, words: Value, element: int) -> Value:
    return words.extract(lifter.constant(I64, 3 - element))


def pack(lifter: Lifter, words: Value, type: int) -> Value:
    """Elements of VB packed into the last one or two words; a type that there is not gives zeros."""
    total = lifter.constant(I64, 0)
    if type in _INTEGERS:
        for element, field in enumerate(_INTEGERS[type]):
            number = _integer(_lane(lifter, words, element), field)
            total = total | number.zext(64).shl(field.place)
    elif type in _HALVES:
        for element, place in enumerate(_HALVES[type]):
            half = _to_half(_lane(lifter, words, element), nearest=type == _ROUNDED)
            total = total | half.zext(64).shl(place)
    result = lifter.constant(WORDS_4, 0).insert(total.trunc(32), 0)
    return result.insert(total.lshr(32).trunc(32), 1)


def _integer(bits: Value, field: _Field) -> Value:
    """The integer of a float, held within its bounds; NaN gives the lowest."""
    low, high = field.bounds
    # Above zero, floats are ordered as their bits are; the bounds are above zero.
    negative_or_nan = bits.icmp("slt", 0) | bits.icmp("sgt", 0x7F80_0000)
    ordered = negative_or_nan.select(low, bits)
    held = ordered.intrinsic("umax", low).intrinsic("umin", high)
    return held & ((1 << field.width) - 1)


def _to_half(bits: Value, nearest: bool) -> Value:
    size = bits & 0x7FFF_FFFF
    moved = size - (112 << 23)
    if nearest:
        moved = moved + 0xFFF + (moved.lshr(13) & 1)
    number = size.icmp("ult", 113 << 23).select(0, moved.lshr(13) & 0x7FFF)
    held = size.icmp("uge", 0x47FF_E000).select(0x7FFF, number)
    return (bits.lshr(16) & 0x8000) | held


def unpack(lifter: Lifter, words: Value, type: int) -> Value:
    """Four floats from the last one or two words; z and w are 0 and 1 where the type has none. A type that
    there is not gives zeros."""
    low, high = (_lane(lifter, words, element).zext(64) for element in (3, 2))
    packed = low | high.shl(32)
    lanes = [lifter.constant(I32, value) for value in (0, 0, 0, _ONE)]
    if type in _INTEGERS:
        for element, field in enumerate(_INTEGERS[type]):
            lanes[element] = _from_integer(packed.lshr(field.place).trunc(32), field)
    elif type in _HALVES:
        for element, place in enumerate(_HALVES[type]):
            lanes[element] = _from_half(packed.lshr(place).trunc(32))
    else:
        lanes[3] = lanes[0]
    result = lifter.constant(WORDS_4, 0)
    for element, value in enumerate(lanes):
        result = result.insert(value, 3 - element)
    return result


def _from_integer(bits: Value, field: _Field) -> Value:
    """1 + n * 2^-23 of a number without sign; 3 + n * 2^-22 of one with sign, whose lowest is NaN."""
    if not field.signed:
        return (bits & ((1 << field.width) - 1)) + _ONE
    spare = 32 - field.width
    number = bits.shl(spare).ashr(spare)
    return number.icmp("eq", -(1 << (field.width - 1))).select(_NAN, number + _THREE)


def _from_half(bits: Value) -> Value:
    sign, exponent = (bits & 0x8000).shl(16), bits & 0x7C00
    number = (bits & 0x7FFF).shl(13) + (112 << 23)
    return sign | exponent.icmp("eq", 0).select(0, number)

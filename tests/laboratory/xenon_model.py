"""What instructions do that only Xenon has, in plain Python: a second opinion beside the rules of the lifter.

A VR is a number of 128 bits whose most significant byte is element 0. Sources are those of the rules.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from estimate_tables import TABLES

LINE_BYTES = 16
_ONE, _NAN = 0x3F80_0000, 0x7FC0_0000
_ALL = (1 << 128) - 1


def words(vr: int) -> list[int]:
    """Elements of 32 bits."""
    return [vr >> shift & 0xFFFF_FFFF for shift in (96, 64, 32, 0)]


def of_words(elements: Sequence[int]) -> int:
    return int.from_bytes(struct.pack(">4I", *elements), "big")


def _number(bits: int) -> float:
    """A single, where a denormal is zero."""
    kept = bits if bits & 0x7F80_0000 else bits & 0x8000_0000
    return float(struct.unpack(">f", struct.pack(">I", kept))[0])


def _is_nan(bits: int) -> bool:
    return bits & 0x7FFF_FFFF > 0x7F80_0000


def dot_product(a: int, b: int, count: int) -> int:
    """vmsum3fp128, vmsum4fp128."""
    order = (0, 2, 1, 3)[:count] if count == 4 else (0, 2, 1)
    pairs = [(words(a)[element], words(b)[element]) for element in order]
    nans = [bits for pair in pairs for bits in pair if _is_nan(bits)]
    if nans:
        return of_words([nans[0] | 0x0040_0000] * 4)
    x, z, *rest = (_number(first) * _number(second) for first, second in pairs)
    total = (x + z) + (rest[0] if count == 3 else rest[0] + rest[1])
    return of_words([_single(total)] * 4)


def _single(total: float) -> int:
    """Rounded to single: too small is zero, too large or no number is NaN."""
    sign = int.from_bytes(struct.pack(">d", total), "big") >> 63 << 31
    if total != total:
        return _NAN
    if abs(total) < 2.0**-126:
        return sign
    if abs(total) == float("inf"):
        return sign | 0x7F80_0000
    try:
        return int.from_bytes(struct.pack(">f", total), "big")
    except OverflowError:
        return _NAN


# Direct3D's packed types: (width, signed, place) of x, y, z and w in the last 64 bits
_INTEGERS = {
    0: [(8, False, 16), (8, False, 8), (8, False, 0), (8, False, 24)],
    1: [(16, True, 16), (16, True, 0)],
    2: [(10, True, 0), (10, True, 10), (10, True, 20), (2, False, 30)],
    4: [(16, True, 48), (16, True, 32), (16, True, 16), (16, True, 0)],
    6: [(20, True, 0), (20, True, 20), (20, True, 40), (4, False, 60)],
}
_HALVES = {3: (16, 0), 5: (48, 32, 16, 0)}
PACKED_TYPES = sorted([*_INTEGERS, *_HALVES])


def pack(vb: int, type: int) -> int:
    """The 64 bits that vpkd3d128 makes of VB."""
    elements, total = words(vb), 0
    for bits, (width, signed, place) in zip(elements, _INTEGERS.get(type, ()), strict=False):
        most = (1 << width - signed) - 1
        least = -most if signed else 0
        units = least if _is_nan(bits) else round((max(2.0, min(_number(bits), 4.0)) - 3.0) * 2.0**22)
        total |= (max(least, min(units, most)) & (1 << width) - 1) << place
    for bits, place in zip(elements, _HALVES.get(type, ()), strict=False):
        total |= _half(bits, nearest=type == 5) << place
    return total


def _half(bits: int, nearest: bool) -> int:
    size, sign = bits & 0x7FFF_FFFF, bits >> 31 << 15
    if size >= 0x47FF_E000:
        return sign | 0x7FFF
    if size < 0x3880_0000:
        return sign
    steps, rest = divmod(size - 0x3800_0000, 1 << 13)
    up = nearest and (rest > 1 << 12 or (rest == 1 << 12 and steps & 1))
    return sign | steps + up


def unpack(vb: int, type: int) -> int:
    """vupkd3d128."""
    packed, result = vb & (1 << 64) - 1, [0, 0, 0, _ONE]
    for index, (width, signed, place) in enumerate(_INTEGERS.get(type, ())):
        field = packed >> place & (1 << width) - 1
        if signed:
            number = field - (1 << width) if field >> (width - 1) else field
            lowest = number == -(1 << (width - 1))
            result[index] = _NAN if lowest else _single(3.0 + number * 2.0**-22)
        else:
            result[index] = _single(1.0 + field * 2.0**-23)
    for index, place in enumerate(_HALVES.get(type, ())):
        half = packed >> place & 0xFFFF
        size = (half & 0x7FFF) * 2.0**-10
        exponent = half >> 10 & 31
        size = 0.0 if exponent == 0 else (1024 + (half & 1023)) * 2.0 ** (exponent - 25)
        result[index] = half >> 15 << 31 | _single(size)
    return of_words(result)


def pack_into(vd: int, vb: int, type: int, mask: int, by: int) -> int:
    """vpkd3d128: which words of VD take which of the two packed ones."""
    packed = pack(vb, type)
    upper, lower = packed >> 32, packed & 0xFFFF_FFFF
    result = words(vd)
    if mask == 1 or (mask == 2 and by == 3):
        result[3 - by] = lower
    elif mask == 3 and by == 3:
        result[3] = upper
    elif mask:
        result[2 - by], result[3 - by] = upper, lower
    return of_words(result)


def rotate_and_insert(vd: int, vb: int, mask: int, by: int) -> int:
    """vrlimi128."""
    turned = [*words(vb), *words(vb)][by : by + 4]
    pairs = zip(words(vd), turned, strict=True)
    return of_words([new if mask >> 3 - index & 1 else old for index, (old, new) in enumerate(pairs)])


def permute_words(vb: int, immediate: int) -> int:
    """vpermwi128."""
    return of_words([words(vb)[immediate >> shift & 3] for shift in (6, 4, 2, 0)])


# Memory: bytes of which `address` is an index


def _line(address: int) -> slice:
    return slice(address & -LINE_BYTES, (address & -LINE_BYTES) + LINE_BYTES)


def load(name: str, memory: bytes, address: int) -> int:
    """The VR that lvlx, lvrx and the loads of elements give; `name` without l and 128 at its end."""
    line, offset = memory[_line(address)], address % LINE_BYTES
    if name == "lvlx":
        line = line[offset:].ljust(LINE_BYTES, b"\0")
    elif name == "lvrx":
        line = line[:offset].rjust(LINE_BYTES, b"\0")
    return int.from_bytes(line, "big")


def store(name: str, memory: bytes, address: int, vr: int) -> bytes:
    """Memory behind stvlx or stvrx."""
    result, offset = bytearray(memory), address % LINE_BYTES
    start, data = address - offset, vr.to_bytes(LINE_BYTES, "big")
    if name == "stvlx":
        result[address : start + LINE_BYTES] = data[: LINE_BYTES - offset]
    else:
        result[start:address] = data[LINE_BYTES - offset :]
    return bytes(result)


def string_words(data: bytes) -> list[int]:
    """The GPRs that lswi or lmw fills with these bytes."""
    padded = data.ljust((len(data) + 3) // 4 * 4, b"\0")
    return [int.from_bytes(padded[start : start + 4], "big") for start in range(0, len(padded), 4)]


def words_string(gprs: Sequence[int], size: int) -> bytes:
    """The bytes that stswi or stmw stores; the GPRs behind those given are 0."""
    return b"".join((gpr & 0xFFFF_FFFF).to_bytes(4, "big") for gpr in gprs)[:size].ljust(size, b"\0")


def shift_bits(name: str, va: int, vb: int) -> int:
    """vsl and vsr, where each byte may have a count of its own."""
    counts = [count & 7 for count in vb.to_bytes(LINE_BYTES, "big")]
    if name == "vsl":
        wide = va << 8
        parts = [wide >> 8 * (15 - index) << count >> 8 & 0xFF for index, count in enumerate(counts)]
    else:
        parts = [va >> 8 * (15 - index) >> count & 0xFF for index, count in enumerate(counts)]
    return int.from_bytes(bytes(parts), "big")


def estimate(name: str, bits: int) -> int:
    """What an estimate makes of a lane, or of the double of fres and frsqrte: by the tables for normal ones;
    zeros, negative ones and NaN as the books say. fres takes what is beyond singles for 0 or infinity."""
    wide = name in ("fres", "frsqrte")
    size, exponent = (64, 11) if wide else (32, 8)
    fraction = size - 1 - exponent
    sign, value = bits >> size - 1 << size - 1, bits & (1 << size - 1) - 1
    infinity, quiet = (1 << exponent) - 1 << fraction, 1 << fraction - 1
    if value > infinity:
        return bits | quiet
    if name == "vexptefp":
        if value == infinity:
            return 0 if sign else infinity
        return TABLES[name](bits if value >> fraction >= 127 - 16 else 0)
    if not wide and value < 1 << fraction:
        value = 0
    if value == 0:
        return infinity | (1 << size - 1 if name == "vlogefp" else sign)
    if sign and name not in ("vrefp", "fres"):
        return infinity | quiet
    if value == infinity:
        return infinity if name == "vlogefp" else sign
    if name == "fres":
        if not 895 <= value >> 52 < 1151:  # beyond singles
            return sign | (infinity if value >> 52 < 895 else 0)
        single = value >> 29 & 0x7F_FFFF | 127 << 23
        result = TABLES[name](single)
        return sign | (result >> 23) + (1023 - (value >> 52)) + 896 << 52 | (result & 0x7F_FFFF) << 29
    return sign | TABLES[name](value)

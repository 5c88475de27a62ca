"""A model of scalar floating point: results and FPSCR, with exact fractions, by the PowerPC books.

Source: IBM, PowerPC Operating Environment Architecture, Book I, chapter 4. It is independent of the host's
arithmetic and of the lifter.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

FX, FEX, VX, OX, UX, ZX, XX = (1 << bit for bit in range(31, 24, -1))
VXSNAN, VXISI, VXIDI, VXZDZ, VXIMZ, VXVC, FR, FI = (1 << bit for bit in range(24, 16, -1))
VXSQRT, VXCVI, VE, OE, UE, ZE = 1 << 9, 1 << 8, 0x80, 0x40, 0x20, 0x10
INVALID = VXSNAN | VXISI | VXIDI | VXZDZ | VXIMZ | VXVC | VXSQRT | VXCVI | 1 << 10
FPRF, FPCC = 0x1F << 12, 0xF << 12
NEAREST, TO_ZERO, UP, DOWN = range(4)
INFINITY, QUIET, SIGN, DEFAULT_NAN = 0x7FF << 52, 1 << 51, 1 << 63, 0x7FF8 << 48


@dataclass(frozen=True)
class Format:
    """Bits of the significand, the exponents of the smallest and the largest power of two, and by how much
    an enabled overflow or underflow moves the exponent."""

    precision: int
    least: int
    most: int
    moved: int


SINGLE, DOUBLE = Format(24, -126, 127, 192), Format(53, -1022, 1023, 1536)


@dataclass(frozen=True)
class Rounded:
    """A result, and what FPSCR notes of its rounding."""

    bits: int
    flags: int = 0
    up: bool = False
    inexact: bool = False


def is_nan(bits: int) -> bool:
    return bits & ~SIGN > INFINITY


def is_infinite(bits: int) -> bool:
    return bits & ~SIGN == INFINITY


def is_zero(bits: int) -> bool:
    return bits & ~SIGN == 0


def signals(bits: int) -> bool:
    return is_nan(bits) and not bits & QUIET


def negative(bits: int) -> bool:
    return bool(bits & SIGN)


def value(bits: int) -> Fraction:
    """Of a finite double."""
    return Fraction(struct.unpack(">d", bits.to_bytes(8, "big"))[0])


def of_fraction(number: Fraction, sign: bool, form: Format, control: int) -> Rounded:
    """Round a number; the sign is that of a zero. `control` has the rounding mode, and OE and UE where these
    are set."""
    mode = control & 3
    if number == 0:
        return Rounded(SIGN if sign else 0)
    sign, size = number < 0, abs(number)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    tiny = exponent < form.least
    if tiny and control & UE:
        return scaled(number, Fraction(2) ** form.moved, UX, form, mode)
    unit = Fraction(2) ** (max(exponent, form.least) - form.precision + 1)
    whole, rest = divmod(size, unit)
    away = rest * 2 > unit or (rest * 2 == unit and whole % 2 == 1)
    if mode != NEAREST:
        away = rest > 0 and ((mode == UP and not sign) or (mode == DOWN and sign))
    inexact, result = rest > 0, (whole + away) * unit
    if result >= Fraction(2) ** (form.most + 1) and control & OE:
        return scaled(number, 1 / Fraction(2) ** form.moved, OX, form, mode)
    if result >= Fraction(2) ** (form.most + 1):
        infinite = mode == NEAREST or away or (mode == UP and not sign) or (mode == DOWN and sign)
        largest = (2 - Fraction(2) ** (1 - form.precision)) * Fraction(2) ** form.most
        bits = INFINITY if infinite else to_bits(largest)
        return Rounded(bits | (SIGN if sign else 0), OX | XX, infinite, True)
    flags = (XX if inexact else 0) | (UX if inexact and tiny else 0)
    return Rounded(to_bits(result) | (SIGN if sign else 0), flags, inexact and away, inexact)


def scaled(number: Fraction, factor: Fraction, flag: int, form: Format, mode: int) -> Rounded:
    """The result of an enabled overflow or underflow."""
    rounded = of_fraction(number * factor, False, form, mode)
    return Rounded(rounded.bits, rounded.flags | flag, rounded.up, rounded.inexact)


def to_bits(number: Fraction) -> int:
    """Of a double that is not negative."""
    return int.from_bytes(struct.pack(">d", float(number)), "big")


def class_of(bits: int, form: Format) -> int:
    """FPRF."""
    if is_nan(bits):
        return 0x11 << 12
    if is_infinite(bits):
        return (0x9 if negative(bits) else 0x5) << 12
    if is_zero(bits):
        return (0x12 if negative(bits) else 0x2) << 12
    if abs(value(bits)) < Fraction(2) ** form.least:
        return (0x18 if negative(bits) else 0x14) << 12
    return (0x8 if negative(bits) else 0x4) << 12


def summary(status: int) -> int:
    """VX and FEX as the other bits say."""
    status &= ~(VX | FEX)
    status |= VX if status & INVALID else 0
    return status | (FEX if status & (status << 22) & (VX | OX | UX | ZX | XX) else 0)


def noted(status: int, flags: int) -> int:
    return summary(status | flags | (FX if flags & ~status else 0))


def operation(name: str, a: int, b: int, c: int, control: int) -> tuple[int | Rounded, int]:
    """The NaN or infinity that an arithmetic form gives, or its rounded result; the VX and ZX bits."""
    form = SINGLE if name.endswith("s") or name == "frsp" else DOUBLE
    name = name if name == "frsp" else name.removesuffix("s")
    used = {"fadd": (a, b), "fsub": (a, b), "fdiv": (a, b), "fmul": (a, c)}.get(
        name, (b,) if name in ("fsqrt", "frsp", "fcfid") else (a, b, c)
    )
    if name == "fcfid":
        number = b - (1 << 64) if negative(b) else b
        return of_fraction(Fraction(number), False, DOUBLE, control), 0
    flags = VXSNAN if any(map(signals, used)) else 0
    fused = name in ("fmadd", "fmsub", "fnmadd", "fnmsub")
    addend = b ^ (SIGN if "sub" in name else 0)
    if (name == "fmul" or fused) and ((is_infinite(a) and is_zero(c)) or (is_zero(a) and is_infinite(c))):
        flags |= VXIMZ
    nans = [bits for bits in used if is_nan(bits)]
    if nans:
        bits = nans[0] | QUIET
        return (bits & ~0x1FFF_FFFF if form is SINGLE else bits), flags
    turn = SIGN if name.startswith("fn") else 0
    if fused and not flags:
        product = SIGN & (a ^ c)
        if is_infinite(a) or is_infinite(c):
            if is_infinite(b) and negative(addend) != bool(product):
                return DEFAULT_NAN, VXISI
            return INFINITY | product ^ turn, 0
        if is_infinite(b):
            return addend ^ turn, 0
        exact = value(a) * value(c) + value(addend)
        sign = control & 3 == DOWN if bool(product) != negative(addend) else bool(product)
        rounded = of_fraction(exact, sign, form, control)
        return Rounded(rounded.bits ^ turn, rounded.flags, rounded.up, rounded.inexact), 0
    if flags:
        return DEFAULT_NAN, flags
    if name in ("fadd", "fsub"):
        if is_infinite(a) or is_infinite(b):
            if is_infinite(a) and is_infinite(b) and negative(a) != negative(addend):
                return DEFAULT_NAN, VXISI
            return a if is_infinite(a) else addend, 0
        sign = negative(a) if negative(a) == negative(addend) else control & 3 == DOWN
        return of_fraction(value(a) + value(addend), sign, form, control), 0
    if name == "fmul":
        sign = negative(a) != negative(c)
        if is_infinite(a) or is_infinite(c):
            return INFINITY | (SIGN if sign else 0), 0
        return of_fraction(value(a) * value(c), sign, form, control), 0
    if name == "fdiv":
        sign = negative(a) != negative(b)
        if is_infinite(a):
            return (DEFAULT_NAN, VXIDI) if is_infinite(b) else (INFINITY | (SIGN if sign else 0), 0)
        if is_infinite(b):
            return (SIGN if sign else 0), 0
        if is_zero(b):
            return (DEFAULT_NAN, VXZDZ) if is_zero(a) else (INFINITY | (SIGN if sign else 0), ZX)
        return of_fraction(value(a) / value(b), sign, form, control), 0
    if name == "fsqrt":
        if is_zero(b):
            return b, 0
        if negative(b):
            return DEFAULT_NAN, VXSQRT
        return (b, 0) if is_infinite(b) else (of_fraction(root(value(b)), False, form, control), 0)
    return (b, 0) if is_infinite(b) else (of_fraction(value(b), negative(b), form, control), 0)


def root(number: Fraction) -> Fraction:
    """A number that rounds as the square root does."""
    scale = 1 << 2 * 1200
    shifted = number * scale
    assert shifted.denominator == 1
    whole = isqrt(shifted.numerator)
    twice = 2 * whole + (whole * whole != shifted.numerator)
    return Fraction(twice, 2 << 1200)


def arithmetic(name: str, a: int, b: int, c: int, old: int, status: int) -> tuple[int, int]:
    """FRT and FPSCR after a form that rounds."""
    form = SINGLE if name.endswith("s") or name == "frsp" else DOUBLE
    result, flags = operation(name, a, b, c, status & (3 | OE | UE))
    rounded = result if isinstance(result, Rounded) else Rounded(result)
    if (flags & INVALID and status & VE) or (flags & ZX and status & ZE):
        return old, noted(status & ~(FR | FI), flags)
    after = status & ~(FR | FI | FPRF) | class_of(rounded.bits, form)
    after |= (FR if rounded.up else 0) | (FI if rounded.inexact else 0)
    return rounded.bits, noted(after, flags | rounded.flags)


def conversion(name: str, b: int, old: int, status: int) -> tuple[int, int]:
    """FRT and FPSCR after fctid, fctidz, fctiw, fctiwz."""
    bits = 32 if name.startswith("fctiw") else 64
    mode = TO_ZERO if name.endswith("z") else status & 3
    lowest, highest = -(1 << bits - 1), (1 << bits - 1) - 1
    flags, up, inexact = (VXCVI | (VXSNAN if signals(b) else 0)), False, False
    if is_nan(b):
        result = lowest
    elif is_infinite(b):
        result = lowest if negative(b) else highest
    else:
        exact = value(b)
        whole, rest = divmod(abs(exact), 1)
        away = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1)
        if mode != NEAREST:
            away = rest > 0 and ((mode == UP and exact > 0) or (mode == DOWN and exact < 0))
        number = int(whole + away) * (-1 if exact < 0 else 1)
        result = min(max(number, lowest), highest)
        if result == number:
            inexact, up = rest > 0, rest > 0 and away
            flags = XX if inexact else 0
    if flags & INVALID and status & VE:
        return old, noted(status & ~(FR | FI), flags)
    after = status & ~(FR | FI) | (FR if up else 0) | (FI if inexact else 0)
    return result & (1 << 64) - 1, noted(after, flags)


def comparison(name: str, a: int, b: int, status: int) -> tuple[int, int]:
    """A field of CR, and FPSCR."""
    if is_nan(a) or is_nan(b):
        flags = VXSNAN if signals(a) or signals(b) else 0
        if name == "fcmpo" and not (flags and status & VE):
            flags |= VXVC
        return 1, noted(status & ~FPCC | 1 << 12, flags)
    first, second = (
        Fraction(2) ** 2000 * (-1 if negative(bits) else 1) if is_infinite(bits) else value(bits)
        for bits in (a, b)
    )
    field = 8 if first < second else 4 if first > second else 2
    return field, summary(status & ~FPCC | field << 12)


def changed(name: str, word: int, operand: int, status: int) -> tuple[int, int]:
    """FPSCR after a form that works on it, and the field of CR that mcrfs moves; `operand` is FRB."""
    field, source = word >> 23 & 7, word >> 18 & 7
    shift, bit = 28 - 4 * field, 1 << 31 - (word >> 21 & 31)
    exceptions = OX | UX | ZX | XX | INVALID
    name = name.rstrip(".")
    if name == "mffs":
        return status, 0
    if name == "mtfsf":
        mask = sum(0xF << 28 - 4 * number for number in range(8) if word >> 24 - number & 1)
        return summary(status & ~mask | operand & mask), 0
    if name == "mtfsfi":
        return summary(status & ~(0xF << shift) | (word >> 12 & 15) << shift), 0
    if name == "mtfsb0":
        return summary(status & ~bit), 0
    if name == "mtfsb1":
        return (noted(status, bit) if bit & exceptions else summary(status | bit)), 0
    moved = 28 - 4 * source
    return summary(status & ~(0xF << moved & (exceptions | FX))), status >> moved & 15

"""The float arithmetic of programs that oscar64 compiled, on arrays: IEEE 754's single format, truncating.

Values are the 32 bits as int64. There is no NaN. Source: drmortalwombat/oscar64, `include/crt.c`; for exp and
sine ytmytm/llama2.c64, `math.c`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bits = NDArray[np.int64]

_FRACTION, _HIDDEN, _FIELD, _SIGN = 0x7FFFFF, 0x800000, 0xFF, 0x80000000
_BIAS, _TOP = 127, 255
_PI = 3.141592653
_LOG2_E = 0x3FB8AA3B
_EXP = (
    *(2.1498763701e-5, 1.4352314037e-4, 1.3422634825e-3, 9.6140170135e-3, 5.5505126860e-2),
    *(0.24022638460, 0.69314718618, 1.0),
)
_SIN = (-14.381390672, 42.007797122, -76.704170257, 81.605223686, -41.341702104, 6.2831853069)


def bits_of(values: ArrayLike) -> Bits:
    """The nearest singles of numbers, as a compiler makes constants of literals."""
    return np.asarray(np.asarray(values, np.float32).view(np.uint32), np.int64)


def floats_of(bits: Bits) -> NDArray[np.float32]:
    """The values, for printing and comparing."""
    return bits.astype(np.uint32).view(np.float32)


def _field(a: Bits) -> Bits:
    return a >> 23 & _FIELD


def _mantissa(a: Bits, field: Bits) -> Bits:
    return np.where(field != 0, a & _FRACTION | _HIDDEN, a & _FRACTION)


def _packed(sign: Bits, field: Bits, mantissa: Bits) -> Bits:
    """A number whose exponent may be out of range: +0 below, infinity above."""
    value = sign | field << 23 | mantissa & _FRACTION
    out = (field < 0) | (field >= _TOP)
    if out.any():
        value = np.where(field < 0, 0, np.where(field >= _TOP, sign | _TOP << 23, value))
    return value


def multiply(a: Bits, b: Bits) -> Bits:
    """a * b: the upper 24 bits of the product; shifted in, the last bit is 0."""
    fa, fb = _field(a), _field(b)
    sign = (a ^ b) & _SIGN
    product = _mantissa(a, fa) * _mantissa(b, fb)
    high = product >> 24
    top = high >> 23
    value = _packed(sign, fa + fb - _BIAS + top, high << 1 - top)
    odd = (product == 0) | (fa == _TOP) | (fb == _TOP)
    if odd.any():
        value = np.where(product == 0, 0, np.where(odd, sign | _TOP << 23, value))
    return value


def add(a: Bits, b: Bits) -> Bits:
    """a + b: the bits that the smaller loses on its way to the larger's exponent do not count."""
    fa, fb = _field(a), _field(b)
    ma, mb = _mantissa(a, fa), _mantissa(b, fb)
    field = np.maximum(fa, fb)
    ma = ma >> np.minimum(field - fa, 24)
    mb = mb >> np.minimum(field - fb, 24)
    same = (a ^ b) & _SIGN == 0
    difference = ma - mb
    mantissa = np.where(same, ma + mb, np.abs(difference))
    sign = np.where(same | (difference > 0), a & _SIGN, b & _SIGN)
    carry = mantissa >> 24
    # Normalising: a shift to the left by what bit 23 is above the highest bit, for differences only.
    highest = np.frexp(mantissa.astype(np.float64))[1].astype(np.int64)
    left = np.where(same, 0, 24 - highest)
    value = _packed(
        sign, field + carry - left, np.where(same, mantissa >> carry, mantissa << np.maximum(left, 0))
    )
    gone = ~same & ((mantissa == 0) | (field - left <= 0))
    if gone.any():
        value = np.where(gone, 0, value)
    infinite = (fa == _TOP) | (fb == _TOP)
    if infinite.any():
        value = np.where(infinite, a & _SIGN | _TOP << 23, value)
    return value


def negative(a: Bits) -> Bits:
    """-a."""
    return a ^ _SIGN


def subtract(a: Bits, b: Bits) -> Bits:
    """a - b."""
    return add(a, negative(b))


def divide(a: Bits, b: Bits) -> Bits:
    """a / b: 24 bits of the quotient; shifted in, the last bit is 0."""
    fa, fb = _field(a), _field(b)
    ma, mb = _mantissa(a, fa), _mantissa(b, fb)
    sign = (a ^ b) & _SIGN
    quotient = (ma << 23) // np.maximum(mb, 1)
    short = 1 - np.minimum(quotient >> 23, 1)
    value = _packed(sign, fa - fb + _BIAS - short, quotient << short)
    infinite = (fb == 0) | (fa == _TOP)
    value = np.where(infinite, sign | _TOP << 23, value)
    return np.where(ma == 0, 0, value)


def floor(a: Bits) -> Bits:
    """The largest whole number that is not above a; exact."""
    with np.errstate(invalid="ignore"):
        whole = np.floor(floats_of(a))
    return bits_of(whole + np.float32(0))  # no -0


def greater(a: Bits, b: Bits) -> NDArray[np.bool_]:
    """Whether a > b."""
    return floats_of(a) > floats_of(b)


def square_root(a: Bits) -> Bits:
    """Four steps of Newton's iteration from half the exponent."""
    exponent = _field(a) - _BIAS
    half = np.sign(exponent) * (np.abs(exponent) // 2) + _BIAS
    q = np.asarray(half << 23 | a & 0xFFFF, np.int64)
    for _ in range(4):
        q = multiply(bits_of(0.5), add(q, divide(a, q)))
    return q


def _horner(coefficients: Sequence[float], x: Bits) -> Bits:
    value = np.full_like(x, bits_of(coefficients[0]))
    for coefficient in coefficients[1:]:
        value = add(multiply(value, x), bits_of(coefficient))
    return value


def exp(a: Bits) -> Bits:
    """e ** a, as the program has it: below about -88.03 the exponent wraps in 16 bits, and the value is a
    huge negative number or minus infinity."""
    scaled = multiply(a, np.asarray(_LOG2_E, np.int64))
    whole = floor(scaled)
    power = floats_of(whole).astype(np.int64) + _BIAS << 7 & 0xFFFF
    return multiply(_horner(_EXP, subtract(scaled, whole)), power << 16)


def sine(a: Bits) -> Bits:
    """sin(a)."""
    size = a & ~np.int64(_SIGN)
    square = multiply(a, a)
    inner = subtract(bits_of(1.0 / 6.0), divide(square, bits_of(120.0)))
    small = multiply(a, subtract(bits_of(1.0), multiply(square, inner)))
    turns = multiply(size, bits_of(0.5 / _PI))
    turns = subtract(turns, floor(turns))
    lower = floats_of(turns) >= 0.5
    turns = np.where(lower, subtract(turns, bits_of(0.5)), turns)
    turns = np.where(floats_of(turns) >= 0.25, subtract(bits_of(0.5), turns), turns)
    value = multiply(_horner(_SIN, multiply(turns, turns)), turns)
    sign = np.where((floats_of(a) < 0) ^ lower, bits_of(-1.0), bits_of(1.0))
    return np.where(floats_of(size) < 0.5, small, multiply(value, sign))


def cosine(a: Bits) -> Bits:
    """cos(a)."""
    return sine(add(a, bits_of(0.5 * _PI)))

"""The estimates of the console's family as LLVM functions on bits, by their tables.

The tables are those published with RPCS3 for the Cell, whose captured results of fres and frsqrte are Xenon's
in every case that was captured from both. What operands outside of the tables' range give is by analogy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from xenon.lifter.emitter import Emitter
from xenon.lifter.ir_types import DOUBLE, FLOAT, I32, I64, POINTER, Type
from xenon.lifter.values import Value

VECTOR_ESTIMATES = ("vrefp", "vrsqrtefp", "vlogefp", "vexptefp")
SCALAR_ESTIMATES = ("fres", "frsqrte")

# By the upper 7 bits of the operand's mantissa: the result's mantissa.
_FRES = """
7f0000 7d0800 7b1800 793000 775000 757000 73a000 71e000 700000 6e4000 6ca000 6ae000 694000 678000 660000
646000 62c000 614000 5fc000 5e4000 5cc000 5b4000 59c000 584000 570000 558000 540000 52c000 518000 500000
4ec000 4d8000 4c0000 4b0000 498000 488000 474000 460000 44c000 438000 428000 418000 400000 3f0000 3e0000
3d0000 3bc000 3ac000 398000 388000 378000 368000 358000 348000 338000 328000 318000 308000 2f8000 2ec000
2e0000 2d0000 2c0000 2b0000 2a0000 298000 288000 278000 26c000 260000 250000 244000 238000 228000 220000
210000 200000 1f8000 1e8000 1e0000 1d0000 1c8000 1b8000 1b0000 1a0000 198000 190000 180000 178000 168000
160000 158000 148000 140000 138000 128000 120000 118000 108000 100000 0f8000 0f0000 0e0000 0d8000 0d0000
0c8000 0b8000 0b0000 0a8000 0a0000 098000 090000 080000 078000 070000 068000 060000 058000 050000 048000
040000 038000 030000 028000 020000 018000 010000 000000
""".split()
# By the low bit of the exponent, turned around, and the upper 3 of the mantissa: the result's upper 20 bits.
_FRSQRTE = """
0f1000 0d8000 0c0000 0a8000 098000 088000 080000 070000 060000 04c000 03c000 030000 020000 018000 010000
008000
""".split()
# Base and slope of each of 32 segments.
_VREFP = """
7ff800/3e1 783800/3a7 70ea00/371 6a0800/340 638800/313 5d6200/2ea 579000/2c4 520800/2a0 4cc800/27f
47ca00/261 430800/245 3e8000/22a 3a2c00/212 360800/1fb 321400/1e5 2e4a00/1d1 2aa800/1be 272c00/1ac
23d600/19b 209e00/18b 1d8800/17c 1a9000/16e 17ae00/15b 14f800/15b 124400/143 0fbe00/143 0d3800/12d
0ade00/12d 088400/11a 065000/11a 041c00/108 020c00/106
""".split()
# Base, slope and correction of each of 32 segments.
_VRSQRTEFP = """
34fd00/568/00 2f9700/4f3/26 2aa500/48d/c8 261800/435/c8 21e400/3e7/26 1dfe00/3a2/88 1a5c00/365/c8
16f800/32e/22 13ca00/2fc/00 10ce00/2d0/00 0dfe00/2a8/00 0b5700/283/26 08d400/261/c8 067300/243/26
043100/226/22 020b00/20b/26 7ff400/7a4/00 785200/700/00 715400/670/00 6ae400/5f2/88 64f200/584/00
5f6e00/524/00 5a4c00/4cc/00 558000/47e/22 510200/43a/88 4cca00/3fa/88 48d000/3c2/88 450e00/38e/22
418200/35e/22 3e2400/332/88 3af200/30a/88 37e800/2e6/22
""".split()
# Base and slope of each of 16 segments.
_VLOGEFP = """
0000/c 0600/a 0b00/a 1000/9 1480/9 1900/9 1d80/8 2180/8 2580/8 297f/7 2cff/7 307f/7 33fe/6 36fe/6 39fe/6
3cfe/6
""".split()
_VEXPTEFP = """
0006/6 0306/6 0606/6 0906/6 0c07/7 0f87/7 1307/7 1680/8 1a80/8 1e80/8 2288/9 2708/9 2b88/9 3008/a 3508/a
3a08/c
""".split()

_SIGN, _INFINITY, _QUIET, _NAN = 0x8000_0000, 0x7F80_0000, 0x0040_0000, 0x7FC0_0000
_BIAS, _FRACTION = 127, 0x7F_FFFF
_LEAST_EXPONENT, _MOST_EXPONENT = 1, 254
_INFINITY_64, _QUIET_64, _NAN_64 = 0x7FF << 52, 1 << 51, 0x7FF8 << 48


@cache
def estimates() -> str:
    """The text of `estimate_NAME`: bits to bits, of a float for a vector's lane, of a double for an FPR."""
    bodies: dict[str, tuple[Type, Callable[[Emitter, Value], Value]]] = {
        "vrefp": (I32, _reciprocal),
        "vrsqrtefp": (I32, _reciprocal_root),
        "vlogefp": (I32, _logarithm),
        "vexptefp": (I32, _power),
        "fres": (I64, _reciprocal_single),
        "frsqrte": (I64, _reciprocal_root_double),
    }
    lines = ["declare float @llvm.floor.f32(float)", "declare i32 @llvm.fptosi.sat.i32.f32(float)"]
    tables = (
        ("fres", _column(_FRES)), ("frsqrte", _column(_FRSQRTE)),
        ("vrefp_base", _column(_VREFP)), ("vrefp_slope", _column(_VREFP, 1)),
        ("vrsqrtefp_base", _column(_VRSQRTEFP)), ("vrsqrtefp_slope", _column(_VRSQRTEFP, 1)),
        ("vrsqrtefp_correction", _column(_VRSQRTEFP, 2)),
        ("vlogefp_base", _column(_VLOGEFP)), ("vlogefp_slope", _column(_VLOGEFP, 1)),
        ("vexptefp_base", _column(_VEXPTEFP)), ("vexptefp_slope", _column(_VEXPTEFP, 1)),
    )  # fmt: skip
    for name, numbers in tables:
        values = ", ".join(f"i32 {number}" for number in numbers)
        lines.append(f"@{name} = internal constant [{len(numbers)} x i32] [{values}]")
    for name, (type, body) in bodies.items():
        emitter = Emitter()
        result = body(emitter, emitter.named("bits", type))
        lines += [f"define internal {type} @estimate_{name}({type} %bits) noinline nounwind {{", "entry:"]
        lines += [*emitter.lines, f"  ret {result.typed}", "}", ""]
    return "\n".join(lines)


def _column(rows: Sequence[str], index: int = 0) -> list[int]:
    return [int(row.split("/")[index], 16) for row in rows]


def _entry(emitter: Emitter, table: str, index: Value) -> Value:
    """A number of a table, as wide as the index."""
    wide = index if index.type is I64 else index.zext(64)
    place = emitter.op(POINTER, f"getelementptr i32, ptr @{table}, {wide.typed}")
    number = emitter.read(I32, place)
    return number.zext(64) if index.type is I64 else number


class _Lane:
    """The parts of a lane's float, denormals taken for zero."""

    def __init__(self, bits: Value) -> None:
        self.sign = bits & _SIGN
        self.exponent = bits.lshr(23) & 255
        self.fraction = bits & _FRACTION
        self.is_zero = self.exponent.icmp("eq", 0)
        self.is_infinite = (bits & ~_SIGN).icmp("eq", _INFINITY)
        self.is_nan = (bits & ~_SIGN).icmp("ugt", _INFINITY)
        self.is_negative = self.sign.icmp("ne", 0)
        self.quiet = bits | _QUIET


def _reciprocal(emitter: Emitter, bits: Value) -> Value:
    lane = _Lane(bits)
    segment = lane.fraction.lshr(18)
    slope = _entry(emitter, "vrefp_slope", segment) * (lane.fraction.lshr(9) & 511)
    fraction = _entry(emitter, "vrefp_base", segment) - slope
    usual = (253 - lane.exponent).shl(23) | fraction
    usual = lane.exponent.icmp("ugt", 252).select(0, usual)  # infinity, and what gives a denormal
    result = lane.sign | lane.is_zero.select(_INFINITY, usual)
    return lane.is_nan.select(lane.quiet, result)


def _reciprocal_root(emitter: Emitter, bits: Value) -> Value:
    lane = _Lane(bits)
    segment = (lane.exponent & 1).shl(4) | lane.fraction.lshr(19)
    key = lane.fraction.lshr(9) & 1023
    slope = (_entry(emitter, "vrsqrtefp_slope", segment) * key).lshr(2)
    correction = _entry(emitter, "vrsqrtefp_correction", segment).lshr(key & 7) & 1
    fraction = _entry(emitter, "vrsqrtefp_base", segment) - slope - correction
    usual = (380 - lane.exponent).lshr(1).shl(23) | fraction
    usual = lane.is_infinite.select(0, usual)
    usual = lane.is_negative.select(_NAN, usual)
    result = lane.is_zero.select(lane.sign | _INFINITY, usual)
    return lane.is_nan.select(lane.quiet, result)


def _logarithm(emitter: Emitter, bits: Value) -> Value:
    lane = _Lane(bits)
    key = lane.fraction.lshr(12)
    segment = key.lshr(7)
    part = _entry(emitter, "vlogefp_base", segment) + _entry(emitter, "vlogefp_slope", segment) * (key & 127)
    fixed = (lane.exponent - _BIAS) * 2048 + part.lshr(3)
    usual = (fixed.to_float(FLOAT, signed=True) * (1 / 2048)).bitcast(I32)
    usual = lane.is_infinite.select(_INFINITY, usual)
    usual = lane.is_negative.select(_NAN, usual)
    result = lane.is_zero.select(_SIGN | _INFINITY, usual)
    return lane.is_nan.select(lane.quiet, result)


def _power(emitter: Emitter, bits: Value) -> Value:
    lane = _Lane(bits)
    counts = lane.exponent.icmp("uge", _BIAS - 16)
    number = counts.select(bits, 0).bitcast(FLOAT) * 2048.0
    whole = emitter.op(FLOAT, f"call float @llvm.floor.f32({number.typed})")
    fixed = emitter.op(I32, f"call i32 @llvm.fptosi.sat.i32.f32({whole.typed})")
    segment = fixed.lshr(7) & 15
    part = _entry(emitter, "vexptefp_base", segment) + _entry(emitter, "vexptefp_slope", segment) * (
        fixed & 127
    )
    exponent = fixed.ashr(11) + _BIAS
    usual = exponent.shl(23) | part.lshr(3).shl(12)
    usual = exponent.icmp("slt", _LEAST_EXPONENT).select(0, usual)
    result = exponent.icmp("sgt", _MOST_EXPONENT).select(_INFINITY, usual)
    return lane.is_nan.select(lane.quiet, result)


class _Double:
    """The parts of a double."""

    def __init__(self, bits: Value) -> None:
        self.sign = bits & 1 << 63
        self.exponent = bits.lshr(52) & 0x7FF
        size = bits & (1 << 63) - 1
        self.is_zero = size.icmp("eq", 0)
        self.is_nan = size.icmp("ugt", _INFINITY_64)
        self.is_infinite = size.icmp("eq", _INFINITY_64)
        self.is_denormal = self.exponent.icmp("eq", 0)
        self.quiet = bits | _QUIET_64


def _reciprocal_single(emitter: Emitter, bits: Value) -> Value:
    """Infinity where the result is beyond singles, 0 where the operand is."""
    value = _Double(bits)
    fraction = _entry(emitter, "fres", bits.lshr(45) & 127)
    usual = (0x7FD - value.exponent).shl(52) | fraction.shl(29)
    usual = value.exponent.icmp("uge", 0x3FF + 128).select(0, usual)
    usual = value.exponent.icmp("ult", 0x3FF - 128).select(_INFINITY_64, usual)
    return value.is_nan.select(value.quiet, value.sign | usual)


def _reciprocal_root_double(emitter: Emitter, bits: Value) -> Value:
    value = _Double(bits)
    # A denormal is 2^-64 times a normal number, which is 2^64 times as large.
    larger = (bits.bitcast(DOUBLE) * 2.0**64).bitcast(I64)
    normal = value.is_denormal.select(larger, bits)
    scale = value.is_denormal.select(32, bits.like(0))
    exponent = normal.lshr(52) & 0x7FF
    index = (normal.lshr(49) & 15) ^ 8
    half = (exponent + -0x3FF).ashr(1)
    field = 0x3FE - half + scale
    usual = field.shl(52) | _entry(emitter, "frsqrte", index).shl(32)
    usual = value.is_infinite.select(0, usual)
    usual = value.sign.icmp("ne", 0).select(_NAN_64, usual)
    usual = value.is_zero.select(value.sign | _INFINITY_64, usual)
    return value.is_nan.select(value.quiet, usual)

"""The estimate instructions of the console's family by their tables, as published with RPCS3 for Cell's PPE.

`exact` is what an engine without the tables computes: the function, rounded once or twice.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable

import numpy as np

# A row for each of 32 segments: base, slope.
_VREFP = """
7ff800/3e1 783800/3a7 70ea00/371 6a0800/340 638800/313 5d6200/2ea 579000/2c4 520800/2a0 4cc800/27f
47ca00/261 430800/245 3e8000/22a 3a2c00/212 360800/1fb 321400/1e5 2e4a00/1d1 2aa800/1be 272c00/1ac
23d600/19b 209e00/18b 1d8800/17c 1a9000/16e 17ae00/15b 14f800/15b 124400/143 0fbe00/143 0d3800/12d
0ade00/12d 088400/11a 065000/11a 041c00/108 020c00/106
""".split()
# Base, slope, correction.
_VRSQRTEFP = """
34fd00/568/00 2f9700/4f3/26 2aa500/48d/c8 261800/435/c8 21e400/3e7/26 1dfe00/3a2/88 1a5c00/365/c8
16f800/32e/22 13ca00/2fc/00 10ce00/2d0/00 0dfe00/2a8/00 0b5700/283/26 08d400/261/c8 067300/243/26
043100/226/22 020b00/20b/26 7ff400/7a4/00 785200/700/00 715400/670/00 6ae400/5f2/88 64f200/584/00
5f6e00/524/00 5a4c00/4cc/00 558000/47e/22 510200/43a/88 4cca00/3fa/88 48d000/3c2/88 450e00/38e/22
418200/35e/22 3e2400/332/88 3af200/30a/88 37e800/2e6/22
""".split()
# Base in hexadecimal, slope in decimal.
_VLOGEFP = """
0000/12 0600/10 0b00/10 1000/9 1480/9 1900/9 1d80/8 2180/8 2580/8 297f/7 2cff/7 307f/7 33fe/6 36fe/6
39fe/6 3cfe/6
""".split()
_VEXPTEFP = """
0006/6 0306/6 0606/6 0906/6 0c07/7 0f87/7 1307/7 1680/8 1a80/8 1e80/8 2288/9 2708/9 2b88/9 3008/10
3508/10 3a08/12
""".split()
# Mantissas, by the upper seven bits.
_FRES = """
7f0000 7d0800 7b1800 793000 775000 757000 73a000 71e000 700000 6e4000 6ca000 6ae000 694000 678000
660000 646000 62c000 614000 5fc000 5e4000 5cc000 5b4000 59c000 584000 570000 558000 540000 52c000
518000 500000 4ec000 4d8000 4c0000 4b0000 498000 488000 474000 460000 44c000 438000 428000 418000
400000 3f0000 3e0000 3d0000 3bc000 3ac000 398000 388000 378000 368000 358000 348000 338000 328000
318000 308000 2f8000 2ec000 2e0000 2d0000 2c0000 2b0000 2a0000 298000 288000 278000 26c000 260000
250000 244000 238000 228000 220000 210000 200000 1f8000 1e8000 1e0000 1d0000 1c8000 1b8000 1b0000
1a0000 198000 190000 180000 178000 168000 160000 158000 148000 140000 138000 128000 120000 118000
108000 100000 0f8000 0f0000 0e0000 0d8000 0d0000 0c8000 0b8000 0b0000 0a8000 0a0000 098000 090000
080000 078000 070000 068000 060000 058000 050000 048000 040000 038000 030000 028000 020000 018000
010000 000000
""".split()
_FRSQRTE = """
0f1000 0d8000 0c0000 0a8000 098000 088000 080000 070000 060000 04c000 03c000 030000 020000 018000
010000 008000
""".split()
_ONE = 127 << 23
_MANTISSA = (1 << 23) - 1


def _row(row: str, decimal_slope: bool = False) -> list[int]:
    base, slope, *more = row.split("/")
    return [int(base, 16), int(slope, 10 if decimal_slope else 16), *(int(word, 16) for word in more)]


def vrefp(bits: int) -> int:
    """1/x of a normal, positive operand, both as bits."""
    exponent, mantissa = bits >> 23, bits & _MANTISSA
    base, slope = _row(_VREFP[mantissa >> 18])
    return 253 - exponent << 23 | base - slope * (mantissa >> 9 & 511)


def vrsqrtefp(bits: int) -> int:
    """1/sqrt(x)."""
    exponent, mantissa = bits >> 23, bits & _MANTISSA
    base, slope, correction = _row(_VRSQRTEFP[exponent % 2 * 16 + (mantissa >> 19)])
    key = mantissa >> 9 & 1023
    return (380 - exponent) // 2 << 23 | base - slope * key // 4 - (correction >> key % 8 & 1)


def vlogefp(bits: int) -> int:
    """log2(x)."""
    key = (bits & _MANTISSA) >> 12
    base, slope = _row(_VLOGEFP[key >> 7], decimal_slope=True)
    fixed = ((bits >> 23) - 127) * 2048 + (base + slope * (key & 127)) // 8
    return _bits(fixed / 2048)


def vexptefp(bits: int) -> int:
    """2^x, for x between -16 and 16."""
    fixed = int(np.floor(_value(bits) * 2048))
    base, slope = _row(_VEXPTEFP[(fixed & 2047) >> 7], decimal_slope=True)
    return 127 + (fixed >> 11) << 23 | (base + slope * (fixed & 127)) // 8 << 12


def fres(bits: int) -> int:
    """1/x."""
    exponent, mantissa = bits >> 23, bits & _MANTISSA
    return 253 - exponent << 23 | int(_FRES[mantissa >> 16], 16)


def frsqrte(bits: int) -> int:
    """1/sqrt(x) of a double."""
    upper = bits >> 32
    entry = int(_FRSQRTE[8 ^ (upper >> 17 & 15)], 16)
    exponent = 0x3FE - ((upper >> 20) + 0x1C01) // 2 % 0x800
    return (exponent % 0x800 << 20 | entry) << 32


TABLES: dict[str, Callable[[int], int]] = {
    "vrefp": vrefp,
    "vrsqrtefp": vrsqrtefp,
    "vlogefp": vlogefp,
    "vexptefp": vexptefp,
    "fres": fres,
    "frsqrte": frsqrte,
}

EXACT: dict[str, Callable[[int], int]] = {
    "vrefp": lambda bits: _bits(float(np.float32(1) / np.float32(_value(bits)))),
    "vrsqrtefp": lambda bits: _bits(float(np.float32(1) / np.sqrt(np.float32(_value(bits))))),
    "fres": lambda bits: _bits(float(np.float32(1) / np.float32(_value(bits)))),
    "frsqrte": lambda bits: _double_bits(float(1 / np.sqrt(np.float64(_double(bits))))),
}


def operands(name: str) -> Iterable[int]:
    """The operands of the self-test's first checksum for an instruction, as bits."""
    if name == "vexptefp":
        first = _ONE - (11 << 23)
        return [sign << 31 | first + (step << 12) for sign in (0, 1) for step in range(15 << 11)]
    if name == "frsqrte":
        return [0x3FE0_0000_0000_0000 + (step << 42) for step in range(1 << 11)]
    width, count = {"vrefp": (9, 14), "vrsqrtefp": (9, 15), "vlogefp": (12, 12), "fres": (13, 10)}[name]
    return [_ONE + (step << width) for step in range(1 << count)]


def checksum(name: str, function: Callable[[int], int]) -> str:
    """The CRC-32 of the results, as the page has it."""
    form = ">Q" if name == "frsqrte" else ">I"
    data = b"".join(struct.pack(form, function(bits)) for bits in operands(name))
    return f"{zlib.crc32(data):08x}"


def _value(bits: int) -> float:
    return float(struct.unpack(">f", struct.pack(">I", bits))[0])


def _bits(value: float) -> int:
    return int(struct.unpack(">I", struct.pack(">f", value))[0])


def _double(bits: int) -> float:
    return float(struct.unpack(">d", struct.pack(">Q", bits))[0])


def _double_bits(value: float) -> int:
    return int(struct.unpack(">Q", struct.pack(">d", value))[0])

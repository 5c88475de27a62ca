"""Loops of one block that multiply halves, which are widened by integer arithmetic."""

from __future__ import annotations

import struct

import pytest
from support import sample

pytest.importorskip("llvmlite", reason="the recompiler needs llvmlite: pip install llvmlite")

from laboratory.loop_trials import LoopLaboratory, Trial

from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.lifter.flow import explore
from xenon.lifter.target import Target
from xenon.lifter.unit import lift_unit
from xenon.linux.layout import PROGRAM
from xenon.recompiler.cache import CodeCache

_DATA = PROGRAM.start + 0x10000
_BYTES = 0x4000
_WEIGHTS, _LINES, _CONSTANTS = 0x400, 0x1000, 0x3000
_ROUNDS = 40
_VALUES = (0, 0x7C00, 0x7FFF, 0x8000_0000, 13, 112 << 23)
_ZERO, _INFINITY, _MAGNITUDE, _SIGN, _WIDER, _REBIAS = range(26, 32)  # VRs
_FORMS = {
    "vand": 1028, "vandc": 1092, "vor": 1156, "vslw": 388, "vadduwm": 128, "vcmpequw": 134, "vcfsx": 842,
    "vupkhsh": 590, "vupklsh": 718,
}  # fmt: skip


def _vector(name: str, target: int, a: int, b: int) -> int:
    return 4 << 26 | target << 21 | a << 16 | b << 11 | _FORMS[name]


def _addi(target: int, base: int, by: int) -> int:
    return 14 << 26 | target << 21 | base << 16 | by & 0xFFFF


def _lvx(target: int, base: int) -> int:
    return 31 << 26 | target << 21 | base << 11 | 103 << 1


def _widened(unpack: str, source: int) -> list[int]:
    """v15 = four halves of a VR as floats."""
    return [
        _vector(unpack, 10, 0, source),
        _vector("vand", 11, 10, _INFINITY),
        _vector("vand", 12, _MAGNITUDE, 10),
        _vector("vcmpequw", 13, 11, _ZERO),
        _vector("vcmpequw", 11, 11, _INFINITY),
        _vector("vcfsx", 14, 24, 12),
        _vector("vslw", 12, 12, _WIDER),
        _vector("vand", 11, 11, _REBIAS),
        _vector("vadduwm", 12, 12, _REBIAS),
        _vector("vadduwm", 12, 12, 11),
        _vector("vandc", 12, 12, 13),
        _vector("vand", 14, 13, 14),
        _vector("vand", 10, 10, _SIGN),
        _vector("vor", 14, 14, 10),
        _vector("vor", 15, 14, 12),
    ]


def _body() -> tuple[int, ...]:
    """v1 to v4 += sixteen halves at r9 times four lines at r10; then on to the next."""
    words = [_lvx(8, 9), _addi(14, 9, 16), _lvx(9, 14)]
    for part in range(4):
        words += _widened(("vupkhsh", "vupklsh")[part & 1], 8 + part // 2)
        words += [_addi(14, 10, 16 * part), _lvx(7, 14)]
        total = 1 + part
        words.append(4 << 26 | total << 21 | 15 << 16 | total << 11 | 7 << 6 | 46)
    return (*words, _addi(9, 9, 32), _addi(10, 10, 64))


def _trial(half: int, place: int, constants: tuple[int, ...] = _VALUES) -> Trial:
    """Three turns of the loop; the VRs hold its constants from the second on."""
    halves = [0x3800 + 37 * index & 0xBBFF for index in range(_BYTES // 2)]
    data = bytearray(struct.pack(f">{len(halves)}H", *halves))
    struct.pack_into(">H", data, _WEIGHTS + 2 * place, half)
    lines = [0x3F80_0000 + 977 * index for index in range(16 * _ROUNDS)]
    struct.pack_into(f">{len(lines)}I", data, _LINES, *lines)
    struct.pack_into(">24I", data, _CONSTANTS, *(value for value in constants for _ in range(4)))
    between = [_addi(9, 9, -32 * _ROUNDS), _addi(10, 10, -64 * _ROUNDS)]
    for index in range(len(constants)):
        between += [_addi(14, 11, 16 * index), _lvx(_ZERO + index, 14)]
    streams = tuple(_DATA + place for place in (_WEIGHTS, _LINES, _CONSTANTS))
    return Trial(_body(), False, _ROUNDS, streams, bytes(data), 3, tuple(between))


@pytest.fixture(scope="module")
def laboratory() -> LoopLaboratory:
    return LoopLaboratory(CodeCache())


def _agree(laboratory: LoopLaboratory, trial: Trial) -> bool:
    laboratory.results(trial)  # leaves its constants in the VRs that no trial sets
    return len(set(laboratory.results(trial).values())) == 1


@pytest.mark.parametrize("place", [0, 16 * _ROUNDS - 7])
@pytest.mark.parametrize(
    "half", sample([0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0x7C00, 0xFC00, 0x7C01, 0x7E00], 5)
)
def test_every_kind_of_half(laboratory: LoopLaboratory, half: int, place: int) -> None:
    assert _agree(laboratory, _trial(half, place))


@pytest.mark.parametrize("index", range(len(_VALUES)))
def test_another_constant_than_that_of_halves(laboratory: LoopLaboratory, index: int) -> None:
    constants = tuple(value ^ (number == index) for number, value in enumerate(_VALUES))
    assert _agree(laboratory, _trial(0x3C00, 0, constants))


@pytest.mark.parametrize("halves", [False, True])
def test_sixteen_halves_are_one_conversion_where_the_host_has_it(halves: bool) -> None:
    words = (0x7FC903A6, *_body())  # mtctr r30
    words = (*words, 0x42000000 | -4 * (len(words) - 1) & 0xFFFC, 0x4E800020)
    flow = explore({0x1000 + 4 * index: word for index, word in enumerate(words)}.get, (0x1000,))
    text = lift_unit(flow, "loop", Target(True, RAM_BYTES, PAGE_BYTES, halves=halves, optimised=True))
    first = text.index("F1004:")
    fast = text[first : text.index("br ", first)]
    assert fast.count("fpext <16 x half>") == fast.count("@llvm.fma.v16f32") == int(halves)
    assert fast.count("@llvm.fma.v4f32") == 4 * (not halves)

"""Partial sums that are added up behind their loop without being flushed."""

from __future__ import annotations

import struct

import pytest
from laboratory.loop_trials import LoopLaboratory, Trial, loop_text
from systems import RECOMPILER

from xenon.lifter.coarse import find_coarse_sums
from xenon.lifter.facts import find_facts
from xenon.lifter.flow import explore
from xenon.linux.layout import PROGRAM

pytestmark = [RECOMPILER, pytest.mark.usefixtures("quick_code")]
_DATA = PROGRAM.start + 0x10000
_WORDS = 4096
_LOADS = (0x7C2048CE, 0x7C4050CE)  # lvx v1, 0, r9; lvx v2, 0, r10
_ONWARDS = (0x39290010, 0x394A0010)  # r9 and r10 += 16
_FLUSH = "2139095040"  # the exponent's bits, by which denormals are told


def _vector(target: int, a: int, b: int, extended: int, c: int = 0) -> int:
    return 4 << 26 | target << 21 | a << 16 | b << 11 | c << 6 | extended


def _sums(*numbers: int) -> tuple[int, ...]:
    """Each of these VRs += the next line at r9 times the next at r10."""
    words: list[int] = []
    for number in numbers:
        words += [*_LOADS, _vector(number, 1, number, 46, 2), *_ONWARDS]
    return tuple(words)


def _add(target: int, a: int, b: int) -> int:
    return _vector(target, a, b, 10)


_ADDED = (_add(3, 3, 4), _add(5, 5, 6), _add(3, 3, 5))


@pytest.mark.parametrize(
    ("body", "behind", "found"),
    [
        (_sums(3, 4, 5, 6), _ADDED, [0, 1, 2]),
        (_sums(3, 4), _ADDED, [0]),  # v5 and v6 come from the caller
        (_sums(3, 4), (_vector(5, 3, 3, 44, 4), _add(3, 3, 5)), [1]),  # vsldoi by a lane
        (_sums(3, 4), (_vector(5, 3, 3, 44, 5), _add(3, 3, 5)), []),  # by five bytes
        (_sums(3, 4), (_vector(5, 3, 3, 43, 4), _add(3, 3, 5)), []),  # vperm
        (_sums(3, 4), (_vector(5, 5, 5, 1220), _add(3, 3, 5)), [1]),  # vxor: zeros
        (_sums(3, 4), (_vector(5, 3, 4, 1220), _add(3, 3, 5)), []),  # vxor of two
        (_sums(3, 4), (_vector(5, 3, 4, 140), _vector(6, 5, 5, 652, 0), _add(3, 6, 4)), [2]),
        (_sums(3, 4), (_LOADS[0], _add(3, 3, 1)), []),
        (_sums(3, 4), (_vector(3, 3, 4, 46, 4), _add(3, 3, 4)), []),  # a product behind the loop
        ((*_sums(3, 4), 0x7C6059CE), _ADDED[:1], []),  # it stores in each round
    ],
)
def test_which_sums_are_known_to_be_coarse(
    body: tuple[int, ...], behind: tuple[int, ...], found: list[int]
) -> None:
    words = (*body, 0x4200_0000 | -4 * len(body) & 0xFFFC, *behind, 0x4E80_0020)
    flow = explore({4 * index: word for index, word in enumerate(words, 1)}.get, (4,))
    loops = [] if 0x7C6059CE in body else [4]
    coarse = find_coarse_sums(flow, find_facts(flow, False).live, loops)
    first = 4 * (len(body) + 2)
    assert sorted(coarse.sums) == [first + 4 * index for index in found]
    assert loops == [] or 4 in coarse.fresh


def test_only_the_exact_form_of_such_sums_flushes() -> None:
    parts = loop_text(_sums(3, 4, 5, 6), _ADDED).split("fadd <4 x float>")[1:]
    assert [_FLUSH in part for part in parts] == [False] * 3 + [True] * 3
    stored = (*_sums(3, 4, 5, 6), 0x7C6059CE)  # stvx v3, 0, r11: no rounds are done again
    assert all(_FLUSH in part for part in loop_text(stored, _ADDED).split("fadd <4 x float>")[1:])


@pytest.fixture(scope="module")
def laboratory() -> LoopLaboratory:
    return LoopLaboratory()


@pytest.mark.parametrize("turns", [1, 2, 20])
@pytest.mark.parametrize(("factor", "scale"), [(2.0**-63, 2.0**-63), (2.0**-126, 1.0), (2.0**-40, 2.0**-86)])
def test_a_sum_that_is_denormal_is_flushed_behind_rounds_that_were_not_fast(
    laboratory: LoopLaboratory, factor: float, scale: float, turns: int
) -> None:
    """1.5 * 2^-126 - 2^-126: factors so small are for the slow form, whose results may be anything."""
    rows = [1.5 * factor] * 4 + [-factor] * 4
    floats = [0.0] * 256 + rows + [0.0] * 248 + [scale] * 8 + [0.0] * (_WORDS - 520)
    data = struct.pack(f">{_WORDS}f", *floats)
    addresses = (_DATA + 1024, _DATA + 2048, _DATA)
    again = (0x3929FFE0, 0x394AFFE0)  # r9 and r10 -= 32
    added = (_add(5, 3, 4), _add(6, 5, 3), _add(7, 5, 4))
    zeros = (_vector(3, 3, 3, 1220), _vector(4, 4, 4, 1220))
    trial = Trial(_sums(3, 4), False, 1, addresses, data, turns, (*added, *zeros, *again))
    results = laboratory.results(trial)
    assert len(set(results.values())) == 1
    registers = results["a loop"][4 * _WORDS + 176 :]
    least = struct.pack(">I", 0x00800000)
    assert registers[80:128] == bytes(16) + struct.pack(">I", 0x00C00000) * 4 + (b"\x80" + least[1:]) * 4

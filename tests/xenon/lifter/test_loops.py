"""Loops of one block, which run without checks and are done again where an assumption failed."""

from __future__ import annotations

import random
import struct

import pytest

pytest.importorskip("llvmlite", reason="the recompiler needs llvmlite: pip install llvmlite")

from laboratory.loop_trials import LoopLaboratory, Trial, random_trial

from xenon.linux.layout import PROGRAM
from xenon.recompiler.cache import CodeCache

_DATA = PROGRAM.start + 0x10000
_WORDS = 4096
_MULTIPLY_ADD = (0x7C2048CE, 0x7C4050CE, 0x106118AE, 0x39290010, 0x394A0010)
_FUSED = (0xC0290000, 0xC04A0000, 0xEC6118BA, 0x39290004, 0x394A0004)


def _four_sums() -> tuple[int, ...]:
    """v3 to v6 += the next four lines at r9 times those at r10."""
    words: list[int] = []
    for number in (3, 4, 5, 6):
        words += [*_MULTIPLY_ADD[:2], 0x100100AE | number << 21 | number << 11, *_MULTIPLY_ADD[3:]]
    return tuple(words)


@pytest.fixture(scope="module")
def laboratory() -> LoopLaboratory:
    return LoopLaboratory(CodeCache())


def test_random_loops_agree_with_their_bodies_called_one_by_one_and_with_unicorn(
    laboratory: LoopLaboratory,
) -> None:
    rng = random.Random(5)
    for _ in range(12):
        trial = random_trial(rng)
        results = laboratory.results(trial)
        assert len(set(results.values())) == 1, trial


@pytest.mark.parametrize("words", [_MULTIPLY_ADD, _FUSED, _four_sums()], ids=["vmaddfp", "fmadds", "four"])
@pytest.mark.parametrize("lane", [0, 70, 399])
@pytest.mark.parametrize(
    "bits",
    [
        0x00000001,
        0x80400000,
        0x00800000,
        0x0D800000,
        0x2B7FFFFF,
        0x7F7FFFFF,
        0x7F800000,
        0x7FC00001,
        0xFFA00000,
    ],
    ids=hex,
)
def test_one_unusual_number_in_the_middle_of_a_running_sum(
    laboratory: LoopLaboratory, words: tuple[int, ...], lane: int, bits: int
) -> None:
    lanes = [0x3F800000 + 77 * index for index in range(_WORDS)]
    lanes[0x400 // 4 + lane] = bits
    lanes[0x2000 // 4 + lane] = 0x00C00000
    data = struct.pack(f">{_WORDS}I", *lanes)
    trial = Trial(words, False, 97, (_DATA + 0x400, _DATA + 0x2000, _DATA), data)
    results = laboratory.results(trial)
    assert len(set(results.values())) == 1


@pytest.mark.parametrize("step", [0, 16, 144, 1000, 4096, 4608, 5008, -16, -4096])
def test_streams_that_move_by_a_register(laboratory: LoopLaboratory, step: int) -> None:
    """r9 and r10, two pages apart, move by r11, also backwards: v3 += a line * the other, which changes."""
    loads, products = (0x7C2048CE, 0x7C4050CE), (0x106118AE, 0x1042180A)
    words = (*loads, *products, 0x7C4051CE, 0x7D295A14, 0x7D4A5A14)
    rounds = min(400, 2 * 4096 // max(abs(step), 16))
    first = _DATA if step >= 0 else _DATA + 2 * 4096 - 16
    data = struct.pack(f">{_WORDS}I", *(0x3F800000 + 977 * index for index in range(_WORDS)))
    registers = (first, first + 2 * 4096, step & 0xFFFF_FFFF)  # lis extends the sign
    results = laboratory.results(Trial(words, False, rounds, registers, data))
    assert len(set(results.values())) == 1

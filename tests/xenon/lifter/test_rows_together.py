"""Rows of products that are one operation, beside the same loops on Unicorn and called one by one."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from itertools import product

import pytest
from laboratory.loop_trials import LoopLaboratory, Trial, loop_form
from support import WHOLE, sample
from systems import RECOMPILER

from xenon.linux.layout import PROGRAM
from xenon.recompiler.cache import CodeCache

pytestmark = [RECOMPILER, pytest.mark.usefixtures("quick_code")]
_DATA = PROGRAM.start + 0x10000
_WORDS = 4096
_START, _FACTORS = 10, (11, 12, 13, 14)  # VRs that stay
_ENDS = (0x39290010, 0x394A0010, 0x396B0010)  # r9, r10 and r11 += 16
_STORE = (0x7D2058CE | 0x100,)  # stvx v9, 0, r11
_UNUSUAL = (0x00000001, 0x80400000, 0x00800000, 0x7F800000, 0x7FC00001, 0xFFA00000)


def _product(target: int, line: int, factor: int, before: int) -> int:
    return 4 << 26 | target << 21 | line << 16 | before << 11 | factor << 6 | 46


def _rows(rows: int, steps: int, rng: random.Random | None = None) -> list[int]:
    """v1, v2, ... = v10 + the lines at r9 + 64 row times v11, v12, ...; in a random order, each row's own
    excepted; v9 = the sum of the first two. Where v4 is free, the first row leaves there what it comes to
    before its last step."""
    queues: list[list[tuple[int, ...]]] = []
    for row in range(rows):
        queue: list[tuple[int, ...]] = []
        for step in range(steps):
            line, factor = 5 + row, _FACTORS[step]
            if rng is not None and rng.random() < 0.5:
                line, factor = factor, line
            on_the_way = 1 + row if row or rows > 3 else 4
            before, target = on_the_way if step else _START, 1 + row if step + 1 == steps else on_the_way
            load = (0x39C90000 | 64 * row + 16 * step, 0x7C0070CE | (5 + row) << 21)  # addi r14, r9, ...; lvx
            queue += [load, (_product(target, line, factor, before),)]
        queues.append(queue)
    return [*_mixed(queues, rng), 0x1121100A]  # vaddfp v9, v1, v2


def _sums(sums: int, steps: int, rng: random.Random | None = None) -> list[int]:
    """v1, v2, ... = v14 + lines at r9 times v5, v6, ...: of each step lines that are neighbours, one for each
    sum; v13 = the sum of the first two."""
    queues: list[list[tuple[int, ...]]] = []
    for number in range(sums):
        queue: list[tuple[int, ...]] = []
        for step in range(steps):
            place = sums * step + number
            line = 16 + (number if rng is None or rng.random() < 0.8 else 0)
            before = 1 + number if step else 14
            load = (0x39C90000 | 16 * place, 0x7C0070CE | line << 21)  # addi r14, r9, ...; lvx
            queue.append((*load, _product(1 + number, line, 5 + place, before)))
        queues.append(queue)
    return [*_mixed(queues, rng), 0x11A1100A]  # vaddfp v13, v1, v2


def _mixed(queues: list[list[tuple[int, ...]]], rng: random.Random | None) -> list[int]:
    """The words of all queues, each in its order."""
    words: list[int] = []
    while queues:
        queue = queues[0] if rng is None else rng.choice(queues)
        words += queue.pop(0)
        if not queue:
            queues.remove(queue)
    return words


@pytest.fixture(scope="module")
def laboratory() -> LoopLaboratory:
    return LoopLaboratory(CodeCache())


def test_four_rows_are_one_operation_a_step_and_two_are_one() -> None:
    fast = loop_form((*_rows(4, 3), *_STORE, *_ENDS), "F")
    assert (fast.count("@llvm.fma.v16f32"), fast.count("@llvm.fma.v4f32")) == (3, 0)
    fast = loop_form((*_rows(3, 2), *_ENDS), "F")
    assert (fast.count("@llvm.fma.v8f32"), fast.count("@llvm.fma.v4f32")) == (2, 2)


@pytest.mark.parametrize(
    "spoiler",
    [
        (0x1021080A,),  # vaddfp v1, v1, v1: before the other rows have come to their end
        (0x7C2059CE,),  # stvx v1, 0, r11
        (0x1125280A,),  # vaddfp v9, v5, v5
        (0x10C6300A,),  # vaddfp v6, v6, v6
        (0x1063200A,),  # vaddfp v3, v3, v4
    ],
    ids=["changes a row", "stores a row", "reads a line", "changes a line", "reads half a row"],
)
def test_what_comes_between_the_rows_sees_what_it_must(
    laboratory: LoopLaboratory, spoiler: tuple[int, ...]
) -> None:
    for rows, place in sample(product((2, 4), (4, 6, 12)), 2):
        words = _rows(rows, 2)
        body = (*words[:place], *spoiler, *words[place:], *_STORE, *_ENDS)
        results = laboratory.results(Trial(body, False, 20, (_DATA + 0x400, _DATA, _DATA + 0x2000), _data()))
        assert len(set(results.values())) == 1, (rows, place)


def test_sums_whose_lines_are_neighbours_are_one_operation_a_step_and_one_load() -> None:
    fast = loop_form((*_sums(4, 2), *_STORE, *_ENDS), "F")
    assert (fast.count("@llvm.fma.v16f32"), fast.count("@llvm.fma.v4f32")) == (2, 0)
    assert (fast.count("load <64 x i8>"), fast.count("load <16 x i8>")) == (2, 0)
    fast = loop_form((*_sums(3, 2), *_ENDS), "F")
    assert (fast.count("@llvm.fma.v8f32"), fast.count("@llvm.fma.v4f32")) == (2, 2)


def test_neighbours_whose_lines_something_else_reads_are_loaded_one_by_one() -> None:
    """vaddfp v13, v16, v16: the line of the first sum's last step."""
    fast = loop_form((*_sums(4, 2)[:-1], 0x11B0800A, *_STORE, *_ENDS), "F")
    assert fast.count("load <64 x i8>") == 0


@pytest.mark.parametrize("stores", [False, True])
@pytest.mark.parametrize("kind", [_rows, _sums])
def test_random_rows(laboratory: LoopLaboratory, kind: Callable[..., list[int]], stores: bool) -> None:
    rng = random.Random()
    for _ in range(24 if WHOLE else 2):
        most = 5 if kind is _rows else 3
        body = kind(rng.randrange(2, 5), rng.randrange(1, most), rng)
        words = (*body, *(_STORE if stores else ()), *_ENDS)
        streams = (_DATA + 0x400, _DATA, _DATA + rng.choice((0x400, 0x430, 0x2000)))
        trial = Trial(words, False, rng.randrange(1, 60), streams, _data(rng.choice((0, 0, 3)), rng))
        results = laboratory.results(trial)
        assert len(set(results.values())) == 1, trial


def _data(unusual: int = 0, rng: random.Random | None = None) -> bytes:
    lanes = [0x3F800000 + 977 * index for index in range(_WORDS)]
    for _ in range(unusual):
        assert rng is not None
        lanes[rng.randrange(0x100, 0x300)] = rng.choice(_UNUSUAL)
    return struct.pack(f">{_WORDS}I", *lanes)

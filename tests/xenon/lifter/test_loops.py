"""Loops of one block, which run without checks and are done again where an assumption failed."""

from __future__ import annotations

import random
import re
import struct
from dataclasses import replace
from itertools import count, product

import pytest
from laboratory.loop_trials import LoopLaboratory, Trial, loop_form, loop_text, random_trial
from support import LONG, WHOLE, sample
from systems import RECOMPILER

from xenon.linux.layout import PROGRAM
from xenon.recompiler.cache import CodeCache

pytestmark = [RECOMPILER, pytest.mark.usefixtures("quick_code")]
_DATA = PROGRAM.start + 0x10000
_WORDS = 4096
_MULTIPLY_ADD = (0x7C2048CE, 0x7C4050CE, 0x106118AE, 0x39290010, 0x394A0010)
_ENDS = (0x39290010, 0x394A0010, 0x396B0010)  # r9, r10 and r11 += 16
# vmrghw v5, v1, v2; vspltw v6, v2, 1; vmaddfp v3, v5, v6, v3; vaddfp v4, v4, v5
_PICKED = (*_MULTIPLY_ADD[:2], 0x10A1108C, 0x10C1128C, 0x106519AE, 0x1084280A, *_ENDS)
# vmaddfp v3, v1, v2, v3; stvx v3, 0, r11; vaddfp v4, v3, v1; vmaddfp v5, v4, v2, v1; stvx v5, 0, r11
_STORED = (*_MULTIPLY_ADD[:2], 0x106118AE, 0x7C6059CE, 0x1083080A, 0x10A408AE, 0x7CA059CE, *_ENDS)
_FUSED = (0xC0290000, 0xC04A0000, 0xEC6118BA, 0x39290004, 0x394A0004)


def _four_sums() -> tuple[int, ...]:
    """v3 to v6 += the next four lines at r9 times those at r10."""
    words: list[int] = []
    for number in (3, 4, 5, 6):
        words += [*_MULTIPLY_ADD[:2], 0x100100AE | number << 21 | number << 11, *_MULTIPLY_ADD[3:]]
    return tuple(words)


def _weighed() -> tuple[int, ...]:
    """v3 to v6 += two rows of four lines at r10, each times an element of the line at r9."""
    words = [0x7C2048CE]
    for row in (0, 1):
        words.append(0x10E00A8C | row << 16)  # vspltw v7, v1, row
        for number in (3, 4, 5, 6):  # lvx v2, 0, r10; vmaddfp; addi r10, r10, 16
            words += [0x7C4050CE, 0x100700AE | number << 21 | number << 11 | 2 << 6, 0x394A0010]
    return (*words, 0x394AFFC0, 0x39290010)  # r10 goes on by one row


_BODIES = {
    **{"vmaddfp": _MULTIPLY_ADD, "fmadds": _FUSED, "four": _four_sums(), "picked": _PICKED},
    **{"stored": _STORED, "weighed": _weighed()},
}
_UNUSUAL = (
    *(0x00000001, 0x80400000, 0x00800000, 0x0D800000, 0x2B7FFFFF),
    *(0x7F7FFFFF, 0x7F800000, 0x7FC00001, 0xFFA00000),
)


@pytest.fixture(scope="module")
def laboratory() -> LoopLaboratory:
    return LoopLaboratory(CodeCache())


@pytest.mark.parametrize("seed", [pytest.param("fixed", marks=LONG), "new"])
def test_random_loops_agree_with_their_bodies_called_one_by_one_and_with_unicorn(
    laboratory: LoopLaboratory, seed: str
) -> None:
    rng = random.Random(5 if seed == "fixed" else None)
    for _ in range(12 if WHOLE else 4):
        trial = random_trial(rng)
        results = laboratory.results(trial)
        assert len(set(results.values())) == 1, trial


@pytest.mark.parametrize(
    ("body", "lane", "bits"),
    sample(product(_BODIES, (0, 70, 399), _UNUSUAL), 12),
    ids=lambda value: hex(value) if value in _UNUSUAL else str(value),
)
def test_one_unusual_number_in_the_middle_of_a_running_sum(
    laboratory: LoopLaboratory, body: str, lane: int, bits: int
) -> None:
    lanes = [0x3F800000 + 77 * index for index in range(_WORDS)]
    lanes[0x400 // 4 + lane] = bits
    lanes[0x2000 // 4 + lane] = 0x00C00000
    data = struct.pack(f">{_WORDS}I", *lanes)
    trial = Trial(_BODIES[body], False, 97, (_DATA + 0x400, _DATA + 0x2000, _DATA), data)
    results = laboratory.results(trial)
    assert len(set(results.values())) == 1


@pytest.mark.parametrize("bits", [0x00000001, 0x7FC00001])
def test_an_unusual_number_in_rounds_that_go_on_where_earlier_ones_ended(
    laboratory: LoopLaboratory, bits: int
) -> None:
    """A loop that reaches over three pages takes two of them at once; the number is on the last page."""
    lanes = [0x3F800000 + 77 * index for index in range(_WORDS)]
    lanes[0x3400 // 4] = bits
    data = struct.pack(f">{_WORDS}I", *lanes)
    results = laboratory.results(Trial(_MULTIPLY_ADD, False, 900, (_DATA + 0x400, _DATA, _DATA), data))
    assert len(set(results.values())) == 1


@pytest.mark.parametrize("body", ["vmaddfp", "four", "weighed", "picked", "stored"])
def test_low_address_bits_are_ignored(laboratory: LoopLaboratory, body: str) -> None:
    data = struct.pack(f">{_WORDS}I", *(0x3F800000 + 77 * index for index in range(_WORDS)))
    streams = (_DATA + 0x409, _DATA + 0x200F, _DATA + 0x3001)
    results = laboratory.results(Trial(_BODIES[body], False, 50, streams, data))
    assert len(set(results.values())) == 1


@pytest.mark.parametrize("element", range(4))
@pytest.mark.parametrize("place", range(0, 16, 4))
def test_a_word_is_stored_of_a_vector_whose_words_are_all_the_same_or_were(
    laboratory: LoopLaboratory, element: int, place: int
) -> None:
    """vspltw v5, v3, element; stvewx v5, 0, r11; vaddfp v5, v5, v4; r11 += 16; stvewx v5, 0, r11"""
    stored = (0x10A01A8C | element << 16, 0x7CA0598E, 0x10A5200A, 0x396B0010, 0x7CA0598E)
    streams = (_DATA + 0x400, _DATA + 0x2000, _DATA + 0x3000 + place)
    data = struct.pack(f">{_WORDS}I", *(0x3F800000 + 977 * index for index in range(_WORDS)))
    results = laboratory.results(Trial(_MULTIPLY_ADD, False, 5, streams, data, between=stored))
    assert len(set(results.values())) == 1
    text = loop_text(_MULTIPLY_ADD, stored)
    assert text.count("extractelement <4 x i32>") == 2
    assert len(re.findall(r"extractelement <4 x i32> %\w+, i64 0", text)) == 1


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


def test_a_body_that_is_called_with_a_double_flushes_denormals_too(laboratory: LoopLaboratory) -> None:
    # fadds f1, f2, f3; fmul f2, f4, f5; lvx v1, 0, r9; vaddfp v2, v2, v1; vaddfp v3, v1, v1
    sums = (0xEC22182A, 0xFC440172, 0x7C2048CE, 0x1042080A, 0x1061080A)
    lanes = [0x3F800001 + lane for lane in range(16)] + [0x00600001] * (_WORDS - 16)
    data = struct.pack(f">{_WORDS}I", *lanes)
    trial = Trial((*sums, 0x39290010), False, 9, (_DATA + 256, _DATA + 1024, _DATA + 2048), data)
    results = laboratory.results(trial)
    assert len(set(results.values())) == 1
    v3 = results["a loop"][4 * _WORDS + 176 + 16 * 3 :][:16]
    assert v3 == bytes(16)  # where Unicorn has 00c00002


def _rows(rows: int) -> tuple[int, ...]:
    """v1 to v8 += rows at r9 and r11 times the line at r10; then 64 bytes on."""
    words: list[int] = []
    for chain in range(4):
        words += [0x39EA0000 | 16 * chain, 0x7C0078CE | (9 + chain) << 21]  # addi r15, r10, …; lvx
        for row in range(rows):
            total = 1 + 4 * row + chain
            base = (9, 11)[row]
            words += [0x39C00000 | base << 16 | 16 * chain, 0x7DA070CE]  # addi r14, …; lvx v13, 0, r14
            words.append(0x100D002E | total << 21 | total << 11 | (9 + chain) << 6)  # vmaddfp
    return (*words, 0x39290040, 0x394A0040, 0x396B0040)


@pytest.mark.parametrize(
    ("rows", "store"), sample(product((1, 2), (None, -4, -2, 0, 636, 1278, 1280, 2559, 2560, 9000)), 3)
)
def test_what_is_stored_between_two_runs_of_a_loop_is_looked_at(
    laboratory: LoopLaboratory, rows: int, store: int | None
) -> None:
    """Rows of zeros stay, the line of 2^100 moves on; r8, a denormal as a float, goes near the rows."""
    stored = () if store is None else (0x91090000 | store & 0xFFFF,)  # stw r8, store(r9)
    results = laboratory.results(_repeated(rows, stored))
    assert len(set(results.values())) == 1


@pytest.mark.parametrize(
    ("rows", "store"), sample(product((1, 2), (None, -4, -2, 0, 636, 1276, 1278, 1280, 2560, 9000)), 4)
)
def test_what_is_stored_is_looked_at_where_the_line_stays(
    laboratory: LoopLaboratory, rows: int, store: int | None
) -> None:
    """The line of zeros stays, the rows of 2^100 move on; r8, a denormal as a float, goes near the line."""
    stored = () if store is None else (0x910A0000 | store & 0xFFFF,)  # stw r8, store(r10)
    results = laboratory.results(_repeated(rows, stored, line_stays=True))
    assert len(set(results.values())) == 1


def _repeated(rows: int, between: tuple[int, ...], line_stays: bool = False) -> Trial:
    lanes = [0x71800000 if 4 * index >= 0x2000 else 0 for index in range(_WORDS)]
    data = struct.pack(f">{_WORDS}I", *lanes)
    staying = (10,) if line_stays else (9, 11)
    back = [0x38000000 | base << 21 | base << 16 | -20 * 64 & 0xFFFF for base in staying]  # addi -1280
    zeros, large = _DATA + 0x400, _DATA + 0x2000
    row, line = (large, zeros) if line_stays else (zeros, large)
    return Trial(_rows(rows), False, 20, (row, line, row + 20 * 64), data, 4, (*back, *between))


@pytest.mark.parametrize("is_loop", [True, False], ids=["loop", "doubleword"])
@pytest.mark.parametrize("first", sample((-36, -32, -28, 632, 2556, 2560), 2))
def test_stores_of_a_loop_into_what_another_remembers_are_looked_at(
    laboratory: LoopLaboratory, first: int, is_loop: bool
) -> None:
    """Eight words r8 from there on, by a loop of their own; or r8 as the lower half of a doubleword."""
    loop = (
        *(0x39C90000 | first & 0xFFFF, 0x39E00008, 0x7DE903A6),  # addi r14, r9, first; li r15, 8; mtctr r15
        *(0x910E0000, 0x39CE0004, 0x4200FFF8),  # stw r8, 0(r14); addi r14, r14, 4; bdnz
    )
    doubleword = (0xF9090000 | first + 28 & 0xFFFC,)  # std r8, first + 28(r9)
    results = laboratory.results(_repeated(2, loop if is_loop else doubleword))
    assert len(set(results.values())) == 1


def test_stores_between_a_line_that_stays_and_rows_that_move_on_do_not_end_what_is_remembered() -> None:
    """20 runs of 4 rounds: the rows are tried first, twice, then the line; a store goes in between."""
    trial = replace(_repeated(2, (0x910A0C04,), line_stays=True), rounds=4, turns=20)
    trial = replace(trial, between=(0x394AFF00, *trial.between[1:]))  # addi r10, r10, -256
    assert LoopLaboratory().rounds(trial, "G1_") == 4 * (20 - 2 - 1)


def test_two_loops_over_the_same_line_remember_it_together() -> None:
    """8 turns of two loops of 4 rounds: three runs find out that it is the line that stays."""
    body = _rows(2)
    line_back = 0x394AFF00  # addi r10, r10, -256
    other = (line_back, 0x7FC903A6, *body, 0x42000000 | -4 * len(body) & 0xFFFC, line_back)
    trial = replace(_repeated(2, (), line_stays=True), rounds=4, turns=8, between=other)
    assert LoopLaboratory().rounds(trial, "G1_") == 4 * (8 - 2)


@pytest.mark.parametrize(
    ("rows", "looks"),
    [
        (2, {"F": (3, 0), "G0_": (0, 1), "G1_": (0, 2)}),  # all; not at the rows; not at the line they share
        (1, {"F": (2, 0), "G0_": (0, 1), "G1_": (0, 1)}),
    ],
)
def test_what_stays_gets_a_form_that_does_not_look_at_it_and_looks_roughly_at_the_rest(
    rows: int, looks: dict[str, tuple[int, int]]
) -> None:
    forms = {form: loop_form(_rows(rows), form) for form in looks}
    assert {form: (text.count("umin"), text.count("and <16 x i32>")) for form, text in forms.items()} == looks


def _tile() -> tuple[int, ...]:
    """v1 to v16 += rows at r9 and r11 times lines at r10 and r8; then 64 bytes on."""
    words: list[int] = []
    for chain in range(4):
        offset = 16 * chain
        words += [0x39EA0000 | offset, 0x7E2078CE, 0x39E80000 | offset, 0x7E4078CE]  # lvx v17 and v18
        for row, base in enumerate((9, 11)):
            words += [0x39C00000 | base << 16 | offset, 0x7E6070CE]  # addi r14, ...; lvx v19, 0, r14
            for line in range(2):
                total = 1 + 8 * row + 4 * line + chain
                words.append(0x1013002E | total << 21 | total << 11 | (17 + line) << 6)  # vmaddfp
    return (*words, 0x39290040, 0x394A0040, 0x396B0040, 0x39080040)


@pytest.mark.parametrize("form", ["G0_", "G1_"])
def test_of_rows_times_lines_either_may_stay(form: str) -> None:
    """Each is part of two sums."""
    text = loop_form(_tile(), form)
    assert text.count("@llvm.fma.v16f32") == 4
    assert (text.count("umin"), text.count("and <16 x i32>")) == (0, 2)


_NUMBERS = count(1)  # for loops that are like no other of this process
_PASSES_ROUGHLY = (0x30000000, 0xBFFFFFFF, 0x71800000)  # 2^-31, just above -2, 2^100
_TAKES_A_CLOSE_LOOK = (0, 0x80000000, 0x40000000, 0x2FFFFFFF, 0x2B800000)  # 0, -0, 2, below 2^-31, 2^-40
_IS_DONE_SLOWLY = (0x2B7FFFFF, 0x00000001, 0x80400000)
_STAYS_IN_THE_SUM = (0x7FC00001, 0xFF812345)


@pytest.mark.parametrize(
    "bits", sample((*_PASSES_ROUGHLY, *_TAKES_A_CLOSE_LOOK, *_IS_DONE_SLOWLY, *_STAYS_IN_THE_SUM), 5), ids=hex
)
def test_a_number_that_a_rough_look_is_not_certain_of_is_looked_at_again(
    laboratory: LoopLaboratory, bits: int
) -> None:
    results = laboratory.results(_one_in_a_row(bits))
    assert len(set(results.values())) == 1


@pytest.mark.parametrize(
    ("numbers", "forms"),
    [
        (_PASSES_ROUGHLY, {"F": 3, "G1_": 37, "S": 0}),
        (_TAKES_A_CLOSE_LOOK, {"F": 3 + 15, "G1_": 37 - 14, "S": 0}),
        (_IS_DONE_SLOWLY, {"F": 3 + 15, "G1_": 37 - 15 - 14, "S": 16}),
    ],
    ids=["passes", "close", "slow"],
)
def test_what_the_rough_look_fails_at_is_done_closely_and_so_are_the_next_runs(
    numbers: tuple[int, ...], forms: dict[str, int]
) -> None:
    """40 runs of 4 rounds, the number in the 8th; three find out what stays."""
    for bits in sample(numbers, 1):
        done = {}
        for form in forms:
            unlike_others = 0x3A100000 | next(_NUMBERS)  # addi r16, r16, ...
            rounds = LoopLaboratory().rounds(_one_in_a_row(bits, unlike_others), form)
            done[form] = rounds / 4
        assert done == forms


def _one_in_a_row(bits: int, *between: int) -> Trial:
    """Rows between 1 and 2 that move on, one of their words these bits; the line stays."""
    lanes = [0x3F800000 + 977 * index for index in range(_WORDS)]
    lanes[0x800 // 4 + 7 * 64 + 21] = bits
    line_back = 0x394AFF00  # addi r10, r10, -256
    registers = (_DATA + 0x800, _DATA, _DATA + 0x1400)
    return Trial(_rows(2), False, 4, registers, struct.pack(f">{_WORDS}I", *lanes), 40, (line_back, *between))


def test_a_weighted_sum_of_rows_is_made_of_wide_operations() -> None:
    fast = loop_form(_weighed(), "F")
    assert fast.count("@llvm.fma.v16f32") == 2
    assert fast.count("@llvm.fma.v4f32") == 0


@pytest.mark.parametrize(("body", "is_wide"), [(_rows(2), True), (_MULTIPLY_ADD, False)])
def test_the_stack_is_aligned_to_wide_values(body: tuple[int, ...], is_wide: bool) -> None:
    assert ("alignstack(64)" in loop_text(body)) is is_wide


@pytest.mark.parametrize("body", [_rows(2), _MULTIPLY_ADD, _STORED])
def test_a_fast_round_does_not_align_what_moves_by_whole_lines(body: tuple[int, ...]) -> None:
    """The addresses move by 64 or 16 bytes a round, so that they stay where they are in their lines."""
    assert ", -16\n" not in loop_form(body, "F")
    assert ", -16\n" in loop_form(body, "S")

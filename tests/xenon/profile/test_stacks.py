"""Callers are found along the stack, and nothing in the guest's memory is believed that cannot be true."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xenon.hardware.memory import UnifiedMemory
from xenon.linux.program import parse_program, read_program
from xenon.powerpc.abi import MOST_FRAMES
from xenon.profile.code_map import CodeMap
from xenon.profile.stacks import Stacks

CODE, STACK = 0x10000, 0x100_0000
NOP, BLR, STDU = 0x6000_0000, 0x4E80_0020, 0xF821_FF91  # stdu r1, -112(r1)


def call(here: int, target: int) -> int:
    return 0x4800_0001 | (target - here) & 0x03FF_FFFC


# Three functions at CODE, CODE + 32 and CODE + 64; each of the first two calls the next one.
WORDS = [STDU, call(4, 32), *[NOP] * 5, BLR, STDU, call(36, 64), *[NOP] * 5, BLR, STDU, *[NOP] * 6, BLR]
OUTER, MIDDLE, LEAF = CODE, CODE + 32, CODE + 64


@pytest.fixture
def stacks(make_elf: Callable[..., bytes], part: type[Any]) -> Stacks:
    image = make_elf([part(CODE, struct.pack(f">{len(WORDS)}I", *WORDS))], CODE)
    memory = UnifiedMemory()
    memory.write(CODE, struct.pack(f">{len(WORDS)}I", *WORDS))
    code = CodeMap(parse_program("three", image))
    assert [span.start for span in code.spans] == [OUTER, MIDDLE, LEAF]
    return Stacks(memory, code)


def frames(stacks: Stacks, *saved: int) -> None:
    """Frames of 0x100 bytes from STACK up; `saved` is what each one's caller frame holds as the saved LR."""
    for index, link in enumerate(saved):
        frame = STACK + 0x100 * index
        stacks._ram[frame : frame + 8] = struct.pack(">Q", frame + 0x100)
        stacks._ram[frame + 0x110 : frame + 0x118] = struct.pack(">Q", link)
    end = STACK + 0x100 * len(saved)
    stacks._ram[end : end + 8] = bytes(8)


def test_a_leaf_without_a_frame_has_its_caller_in_lr(stacks: Stacks) -> None:
    frames(stacks, OUTER + 8)  # the frame is that of the middle function
    assert stacks.walk(LEAF, MIDDLE + 8, STACK) == (LEAF, MIDDLE, OUTER)


def test_a_leaf_with_a_frame_that_saves_no_lr_is_no_second_caller(stacks: Stacks) -> None:
    stale = MIDDLE + 8
    frames(stacks, stale, OUTER + 8)
    assert stacks.walk(LEAF + 12, MIDDLE + 8, STACK) == (LEAF, MIDDLE, OUTER)


def test_a_function_that_has_called_is_found_by_its_frame(stacks: Stacks) -> None:
    frames(stacks, OUTER + 8)
    assert stacks.walk(MIDDLE + 12, MIDDLE + 8, STACK) == (MIDDLE, OUTER)


def test_a_chain_that_goes_in_circles_or_out_of_ram_ends(stacks: Stacks) -> None:
    for above in (STACK, STACK - 8, 0, 1, STACK + 4, 1 << 63, 0x2000_0000, 0x1FFF_FFF8):
        stacks._ram[STACK : STACK + 8] = struct.pack(">Q", above)
        assert stacks.walk(LEAF, 0, STACK) == (LEAF,)


def test_a_stack_deeper_than_the_limit_is_cut(stacks: Stacks) -> None:
    frames(stacks, *[MIDDLE + 8] * (2 * MOST_FRAMES))
    assert stacks.walk(LEAF, 0, STACK) == (LEAF, *[MIDDLE] * MOST_FRAMES)


def test_registers_may_hold_anything(stacks: Stacks) -> None:
    chance = random.Random(1)
    for _ in range(2000):
        pc, link, stack = (chance.getrandbits(chance.choice((64, 32, 29, 17))) for _ in range(3))
        assert len(stacks.walk(pc, link, stack)) <= 1 + MOST_FRAMES


def test_functions_of_a_stripped_program_have_their_addresses_for_names(build: Callable[..., Path]) -> None:
    whole, stripped = (
        CodeMap(read_program(build("hot", "musl", "-O2", stripped=stripped))) for stripped in (False, True)
    )
    main = next(span for span in whole.spans if span.name == "main")
    assert main.is_function
    assert not any(span.name == "main" for span in stripped.spans)
    assert all(span.name == f"sub_{span.start:08x}" for span in stripped.spans)
    starts = {span.start for span in stripped.spans if span.is_function}
    named = {span.start for span in whole.spans if span.is_function}
    assert len(starts & named) > 0.8 * len(starts)


def test_every_address_belongs_to_one_function(build: Callable[..., Path]) -> None:
    code = CodeMap(read_program(build("hot", "musl", "-O2")))
    for span in code.spans:
        assert code.at(span.start) == code.at(span.end - 4) == span
    for address in (0, CODE - 4, code.spans[0].start - 4, code.spans[-1].end, (1 << 64) - 4):
        span = code.at(address)
        assert span.start <= address < span.end
        assert not span.is_function

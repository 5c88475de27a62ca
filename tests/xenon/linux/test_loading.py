"""Where a program lands, and the stack that it finds."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from xenon.errors import XenonError
from xenon.hardware.cpu import Protection
from xenon.hardware.memory import OutOfMemoryError, UnifiedMemory
from xenon.hardware.memory_map import MIB
from xenon.hardware.pages import Pages
from xenon.linux.address_space import AddressSpace
from xenon.linux.layout import POSITION_INDEPENDENT_BASE
from xenon.linux.loading import MOST_ARGUMENT_BYTES, STACK_GUARD_BYTES, Loaded, load
from xenon.linux.program import parse_program

MakeElf = Callable[..., bytes]


def _load(
    image: bytes, *arguments: bytes, memory: UnifiedMemory | None = None, **variables: bytes
) -> tuple[Loaded, AddressSpace]:
    space = AddressSpace(Pages(memory or UnifiedMemory()))
    environment = {key.encode(): value for key, value in variables.items()}
    return load(parse_program("it", image), space, [b"it", *arguments], environment, bytes(range(16))), space


def test_the_stack_holds_arguments_environment_and_auxiliary_vector(small_elf: bytes) -> None:
    loaded, space = _load(small_elf, b"one", b"", GREETING=b"hello")
    pointer = loaded.stack_pointer
    assert pointer % 16 == 0
    words = struct.unpack(">54Q", space.read(pointer, 54 * 8))
    assert words[0] == 3
    assert [space.read_string(word, 100) for word in words[1:4]] == [b"it", b"one", b""]
    assert words[4] == 0
    assert space.read_string(words[5], 100) == b"GREETING=hello"
    assert words[6] == 0
    auxiliary = dict(zip(words[7::2], words[8::2], strict=False))
    assert auxiliary[6] == 4096
    assert auxiliary[9] == 0x10000
    assert auxiliary[16] == 0xDC000000  # 64-bit, FPU, MMU, AltiVec; no VSX
    assert auxiliary[26] == 0
    assert (auxiliary[19], auxiliary[20]) == (32, 128)  # what dcbz clears, and a cache line
    assert space.read(auxiliary[25], 16) == bytes(range(16))
    assert space.read_string(auxiliary[31], 100) == b"it"


def test_the_guard_below_the_stack_is_not_mapped(small_elf: bytes) -> None:
    loaded, space = _load(small_elf)
    lowest = loaded.stack.address + STACK_GUARD_BYTES
    assert space.protection_at(lowest) == Protection.READ | Protection.WRITE
    assert space.protection_at(lowest - 1) is None


def test_too_many_arguments_are_refused(small_elf: bytes) -> None:
    with pytest.raises(XenonError, match="arguments and environment take"):
        _load(small_elf, b"x" * MOST_ARGUMENT_BYTES)


def test_segments_that_share_a_page_get_the_rights_of_both(make_elf: MakeElf, part: Any) -> None:
    image = make_elf([part(0x10000, bytes(64), None, 5), part(0x10040, b"data", 8192, 6)], 0x10000)
    loaded, space = _load(image)
    assert space.read(0x10040, 5) == b"data\0"
    assert space.protection_at(0x10000) == Protection.READ | Protection.WRITE | Protection.EXECUTE
    assert loaded.heap_start == 0x13000


def test_segments_far_apart_do_not_use_what_is_between(make_elf: MakeElf, part: Any) -> None:
    image = make_elf([part(0x10000, bytes(64)), part(0x1C000000, b"far", None, 6)], 0x10000)
    _, space = _load(image)
    assert space.memory.used < 42 * MIB


def test_a_position_independent_program_lies_low(make_elf: MakeElf, part: Any) -> None:
    image = make_elf([part(0x0, bytes(64)), part(0x2000, b"data", None, 6)], 0x10, kind=3)
    loaded, space = _load(image)
    assert loaded.entry == POSITION_INDEPENDENT_BASE + 0x10
    assert space.read(POSITION_INDEPENDENT_BASE + 0x2000, 4) == b"data"


def test_a_program_larger_than_the_machine_is_out_of_memory(make_elf: MakeElf, part: Any) -> None:
    image = make_elf([part(0x10000, bytes(64), 100 * MIB)], 0x10000)
    with pytest.raises(OutOfMemoryError, match="program r-x asks for 100 MiB"):
        _load(image, memory=UnifiedMemory(64 * MIB))

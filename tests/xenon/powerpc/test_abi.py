"""What the 64-bit PowerPC ABIs fix: entry pairs, descriptors, and the chain of stack frames."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from xenon.powerpc.abi import (
    MOST_FRAMES,
    AuxiliaryKey,
    abi_version,
    descriptor,
    entries_of,
    local_entry_distance,
    saved_links,
)

ADDIS, ADDI, NOP = 0x3C4C_0002, 0x3842_8000, 0x6000_0000  # addis r2, r12, 2; addi r2, r2, -32768
CODE = {0x100: ADDIS, 0x104: ADDI, 0x108: NOP, 0x10C: NOP}


@pytest.mark.parametrize(
    ("address", "entries"),
    [(0x100, (0x100, 0x108)), (0x108, (0x100, 0x108)), (0x104, (0x104,)), (0x10C, (0x10C,)), (0, (0,))],
)
def test_a_function_that_sets_up_its_table_of_contents_has_two_entries(
    address: int, entries: tuple[int, ...]
) -> None:
    assert entries_of(CODE.get, address) == entries


def test_calls_execute_a_function_from_its_local_entry_on() -> None:
    assert local_entry_distance(ADDIS, ADDI) == 8
    assert local_entry_distance(ADDI, ADDIS) == local_entry_distance(ADDIS, None) == 0
    assert local_entry_distance(None, ADDI) == local_entry_distance(NOP, NOP) == 0


@pytest.mark.parametrize(("flags", "version"), [(0, 1), (1, 1), (2, 2), (3, 3), (0x8000_0002, 2)])
def test_flags_name_the_version_of_the_abi(flags: int, version: int) -> None:
    assert abi_version(flags) == version


def test_a_descriptor_has_code_and_table_of_contents() -> None:
    assert descriptor(struct.pack(">3Q", 0x1000, 0x2000, 0)) == (0x1000, 0x2000)


class Memory:
    """Doublewords of a stack by address; nothing else is readable."""

    def __init__(self, words: dict[int, int]) -> None:
        self._words = words

    def read(self, address: int, size: int) -> bytes | None:
        assert size == 8
        word = self._words.get(address)
        return None if word is None else struct.pack(">Q", word)


def links(words: dict[int, int], stack_pointer: int = 0x1000, end: int = 0x10000) -> list[int]:
    return list(saved_links(Memory(words).read, stack_pointer, end))


def test_each_function_saved_its_link_in_its_callers_frame() -> None:
    words = {0x1000: 0x1100, 0x1110: 0xA, 0x1100: 0x1200, 0x1210: 0xB, 0x1200: 0}
    assert links(words) == [0xA, 0xB]
    assert links(words, end=0x1200) == [0xA]


@pytest.mark.parametrize("above", [0x1000, 0xFF8, 0, 0x1104, 0x10000, 1 << 63, 0x1108])
def test_a_chain_ends_where_it_does_not_lead_upwards_through_memory(above: int) -> None:
    assert links({0x1000: above, 0x1110: 0xA, 0x1100: 0x1200}) == []


def test_a_stack_pointer_that_is_not_aligned_has_no_callers() -> None:
    assert links({0x1001: 0x1100, 0x1110: 0xA}, 0x1001) == []


def test_a_chain_is_followed_for_a_limited_number_of_frames() -> None:
    words = {}
    for number in range(2 * MOST_FRAMES):
        words[0x1000 + 32 * number] = 0x1000 + 32 * (number + 1)
        words[0x1010 + 32 * number] = number
    assert links(words, end=1 << 64) == list(range(1, MOST_FRAMES + 1))


def test_keys_of_the_auxiliary_vector_are_those_of_the_kernel_headers() -> None:
    text = "".join(
        path.read_text()
        for path in (Path("/usr/include/linux/auxvec.h"), Path("/usr/include/elf.h"))
        if path.exists()
    )
    if not text:
        pytest.skip("no headers of Linux: Debian has them in linux-libc-dev")
    known = {name: int(number) for name, number in re.findall(r"#define\s+AT_(\w+)\s+(\d+)", text)}
    assert {key.name: key.value for key in AuxiliaryKey if key.name in known}.items() <= known.items()
    assert {"PHDR", "ENTRY", "RANDOM", "EXECFN", "PLATFORM"} <= known.keys()

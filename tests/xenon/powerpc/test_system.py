"""Which words are instructions of an operating system."""

from __future__ import annotations

import struct

import pytest

from xenon.powerpc.system import PRIVILEGED, SERVED_TO_USERS, is_privileged, named, special_register
from xenon.powerpc.words import indices_of


def mfspr(target: int, number: int) -> int:
    return 0x7C0002A6 | target << 21 | (number & 31) << 16 | number >> 5 << 11


@pytest.mark.parametrize("number", [268, 269, 287, 1023, 1017, 318, 22, 26])
def test_special_registers_are_found_by_number(number: int) -> None:
    assert special_register(mfspr(3, number)) == number
    assert is_privileged(mfspr(3, number))


@pytest.mark.parametrize("number", [1, 8, 9, 256, 272])
def test_a_programs_own_registers_are_not(number: int) -> None:
    assert not is_privileged(mfspr(3, number))


def test_a_page_is_searched_for_all_of_them() -> None:
    words = {
        0x7C6C42E6: "mftb", 0x7C6000A6: "mfmsr", 0x7C600124: "mtmsr", 0x7C600164: "mtmsrd",
        0x7C610164: "mtmsrd", 0x4C000024: "rfid", 0x7C0003E4: "slbia", 0x7C001A64: "tlbie",
    }  # fmt: skip
    others = [0x7C0802A6, 0x7C0803A6, 0x60000000, 0x44000002, 0x4E800020]  # mflr, mtlr, nop, sc, blr
    page = struct.pack(">18I", *others, *words, *others)
    assert indices_of((PRIVILEGED,), page) == list(range(5, 5 + len(words)))
    assert [named(word) for word in words] == list(words.values())


def test_a_program_of_linux_reads_the_time_base_and_the_version_only() -> None:
    words = [mfspr(3, number) for number in (268, 269, 287, 1023, 22, 8)] + [0x7C6C42E6, 0x7C600124]
    assert indices_of((SERVED_TO_USERS,), struct.pack(">8I", *words)) == [0, 1, 2, 6]
    assert words[0] in SERVED_TO_USERS
    assert words[3] not in SERVED_TO_USERS

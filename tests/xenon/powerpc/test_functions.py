"""Names of addresses: which symbols are functions, which of several names is chosen, where functions end."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from elf_files import CODE_ADDRESS, UNTYPED, Label, elf_file

from xenon.linux.program import parse_program, read_program
from xenon.powerpc.elf import Elf
from xenon.powerpc.functions import Functions, read_functions

CODE = bytes(0x100)
END = CODE_ADDRESS + len(CODE)


def functions(*labels: Label, base: int = 0) -> Functions:
    return read_functions(Elf("it", elf_file(CODE, labels)), [(CODE_ADDRESS, END)], base)


def extents(*labels: Label) -> list[tuple[str, int, int]]:
    """(name, offset of the first byte, offset behind the last) of each function."""
    return [
        (function.name, function.address - CODE_ADDRESS, function.end - CODE_ADDRESS)
        for function in functions(*labels)
    ]


def label(name: str, offset: int, size: int = 0, kind: int = 2) -> Label:
    return Label(name, CODE_ADDRESS + offset, size, kind)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["memcpy", "__memcpy"], "memcpy"),
        (["bbb", "aaa"], "aaa"),
        (["longer_name", "short"], "short"),
        (["_b", "a_long_plain_name"], "a_long_plain_name"),
    ],
)
def test_one_name_is_chosen_for_an_address_in_whatever_order_they_come(names: list[str], chosen: str) -> None:
    for order in (names, names[::-1]):
        assert extents(*(label(name, 0x10, 0x20) for name in order)) == [(chosen, 0x10, 0x30)]


def test_a_name_with_a_size_is_preferred() -> None:
    assert extents(label("a", 0x10), label("_with_a_size", 0x10, 8)) == [("_with_a_size", 0x10, 0x18)]


def test_a_function_without_a_size_reaches_to_the_next_or_to_the_end_of_the_code() -> None:
    assert extents(label("one", 0x10), label("two", 0x40)) == [("one", 0x10, 0x40), ("two", 0x40, 0x100)]


def test_a_function_ends_where_the_next_begins() -> None:
    expected = [("one", 0, 0x10), ("two", 0x10, 0x30)]
    assert extents(label("one", 0, 0x18), label("two", 0x10, 0x20)) == expected


def test_labels_inside_of_functions_are_no_functions() -> None:
    loop, outside = label("loop", 8, kind=UNTYPED), label("outside", 0x80, kind=UNTYPED)
    assert extents(label("sized", 0, 0x20), loop, outside) == [("sized", 0, 0x20), ("outside", 0x80, 0x100)]
    assert extents(label("unsized", 0), loop, label("next", 0x40, 4)) == [
        ("unsized", 0, 0x40),
        ("next", 0x40, 0x44),
    ]
    assert [function.typed for function in functions(label("f", 0, 4), outside)] == [True, False]


def test_an_unsized_function_inside_of_a_sized_one_is_none() -> None:
    assert extents(label("whole", 0, 0x20), label("part", 0x10)) == [("whole", 0, 0x20)]


def test_symbols_outside_of_the_code_or_of_instructions_are_no_functions() -> None:
    outside = [
        label("before", -4, 4),
        label("behind", 0x100, 4),
        label("between", 2, 4),
        label("far", 1 << 40),
    ]
    assert extents(*outside, label("data", 0, 4, kind=1), label("last", 0xFC, 64)) == [("last", 0xFC, 0x100)]


def test_an_address_is_described_by_function_and_offset() -> None:
    chosen = functions(label("f", 0x10, 0x10), label("g", 0x40, 4), base=0x1000)
    start = CODE_ADDRESS + 0x1000
    assert [chosen.describe(start + offset) for offset in (0xC, 0x10, 0x1C, 0x20, 0x40, 0x44)] == [
        "",
        "f+0x0",
        "f+0xc",
        "",
        "g+0x0",
        "",
    ]
    assert chosen.at(0) is None
    assert chosen.at(1 << 64) is None


def test_functions_are_looked_up_by_any_of_their_names() -> None:
    chosen = functions(label("f", 0x10, 4), label("_alias", 0x10, 4), label("g", 0x20, 4), base=0x1000)
    start = CODE_ADDRESS + 0x1000
    assert chosen.addresses_of({"_alias", "g"}) == [start + 0x10, start + 0x20]
    assert chosen.addresses_of({"f"}) == [start + 0x10]
    assert chosen.addresses_of({"nothing"}) == []


def test_no_address_has_two_functions_whatever_the_symbols_say() -> None:
    generator = random.Random(1)
    for _ in range(300):
        labels = [
            label(f"{'_' * generator.randrange(2)}f{number}", 4 * generator.randrange(70), size, kind)
            for number in range(12)
            for size in (generator.choice((0, 4, 8, 32, 1 << 40, (1 << 64) - 1)),)
            for kind in (generator.choice((2, UNTYPED)),)
        ]
        chosen = list(functions(*labels))
        assert all(function.size > 0 for function in chosen)
        assert all(low.end <= high.address for low, high in pairwise(chosen))
        assert all(CODE_ADDRESS <= function.address < function.end <= END for function in chosen)


def test_functions_of_abi_v1_are_found_by_their_descriptors(build: Callable[..., Path]) -> None:
    program = read_program(build("report", "freestanding-v1"))
    assert program.abi == 1
    function = program.functions().at(program.entry)
    assert function is not None
    assert (function.name, function.address) == ("_start", program.entry)


def test_damaged_section_headers_cost_names_only() -> None:
    image = bytearray(elf_file(CODE, [label("f", 0, 4)]))
    struct.pack_into(">H", image, 60, 0xFFFF)
    assert len(parse_program("it", bytes(image)).functions()) == 0


def test_an_indirect_function_does_not_name_its_resolver() -> None:
    resolver, indirect = label("__memcpy_resolver", 0x10, 8), label("memcpy", 0x10, 8, kind=10)
    assert extents(resolver, indirect) == [("__memcpy_resolver", 0x10, 0x18)]
    assert extents(indirect) == [("memcpy", 0x10, 0x18)]


def test_a_function_without_a_size_ends_with_its_section() -> None:
    image = bytearray(elf_file(CODE, [label("_init", 0), label("label", 0x40, kind=UNTYPED)]))
    (table,) = struct.unpack_from(">Q", image, 40)
    struct.pack_into(">Q", image, table + 64 + 32, 0x20)  # the size of .text
    chosen = read_functions(Elf("it", bytes(image)), [(CODE_ADDRESS, END)])
    assert [(function.name, function.size) for function in chosen] == [("_init", 0x20), ("label", 0xC0)]

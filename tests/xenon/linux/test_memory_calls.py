"""System calls on memory, and the pages behind them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenon.hardware.cpu import Protection
from xenon.hardware.memory import Owner, UnifiedMemory
from xenon.hardware.memory_map import MIB, PAGE_BYTES
from xenon.hardware.pages import Pages
from xenon.linux.address_space import AddressSpace
from xenon.linux.layout import PROGRAM
from xenon.linux.uapi import Error, GuestError

READ, READ_WRITE = 1, 3
PRIVATE, SHARED, FIXED, ANONYMOUS, NO_REPLACE = 2, 1, 0x10, 0x20, 0x100000
NOBODY = -1


def _map(
    call: Any, size: int, flags: int = PRIVATE | ANONYMOUS, address: int = 0, rights: int = READ_WRITE
) -> int:
    return int(call("mmap", address, size, rights, flags, NOBODY, 0))


def _open(call: Any, path: bytes = b"/data/numbers.bin") -> int:
    return int(call("openat", -100, call.text(path), 0, 0))


def test_memory_is_mapped_zero_and_gone_after_unmapping(call: Any) -> None:
    before = call.process.space.memory.used
    address = _map(call, 100_000)
    assert call.peek(address, 100_000) == bytes(100_000)
    assert call.process.space.memory.used == before + 102_400
    assert call("munmap", address, 100_000) == 0
    assert call("write", 1, address, 1) == -Error.EFAULT
    assert call.process.space.memory.used == before


def test_more_than_there_is_is_enomem(call: Any) -> None:
    assert _map(call, 512 * MIB) == -Error.ENOMEM
    assert _map(call, 1 << 63) == -Error.ENOMEM
    assert _map(call, 400 * MIB) > 0
    assert _map(call, 100 * MIB) == -Error.ENOMEM


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0, 0, 3, 0x22, -1, 0), Error.EINVAL), ((0, 4096, 3, 0x20, -1, 0), Error.EINVAL),
        ((0, 4096, 3, 2, 77, 0), Error.EBADF), ((0, 4096, 3, 2, 1, 0), Error.ENODEV),
        ((0, 4096, 1, 2, 3, 5), Error.EINVAL), ((0, 4096, 3, 1, 3, 0), Error.EACCES),
        ((0x20001, 4096, 3, 0x32, -1, 0), Error.EINVAL), ((0, 4096, 3, 0x32, -1, 0), Error.ENOMEM),
        ((0x1E000000, 4096, 3, 0x32, -1, 0), Error.ENOMEM), ((1 << 63, 4096, 3, 0x32, -1, 0), Error.ENOMEM),
        ((0x10000, 4096, 3, 0x100022, -1, 0), Error.EEXIST), ((0, 4096, 3, 0x40022, -1, 0), Error.EINVAL),
    ],
)  # fmt: skip
def test_a_mapping_that_cannot_be_is_refused(call: Any, arguments: tuple[int, ...], error: Error) -> None:
    assert _open(call) == 3
    assert call("mmap", *arguments) == -error


def test_a_file_is_mapped_with_its_contents_and_zeros_behind(call: Any) -> None:
    descriptor = _open(call)
    address = call("mmap", 0, 12_288, READ, PRIVATE, descriptor, 0)
    assert call.peek(address, 12_288) == bytes(range(256)) * 40 + bytes(2048)
    assert call("mmap", 0, 4096, READ, SHARED, descriptor, 1 << 40) > 0
    second = call("mmap", 0, 4096, READ, SHARED, descriptor, 8192)
    assert call.peek(second, 4096) == bytes(range(256)) * 8 + bytes(2048)
    assert call("read", descriptor, address, 4) == -Error.EFAULT
    purposes = [region.purpose for region in call.process.space.memory.regions]
    assert purposes.count("file /data/numbers.bin") == 3


def test_a_fixed_mapping_replaces_what_it_covers(call: Any) -> None:
    address = _map(call, 4 * PAGE_BYTES)
    call.process.space.write(address, b"\xff" * 4 * PAGE_BYTES)
    assert (
        _map(call, 2 * PAGE_BYTES, PRIVATE | ANONYMOUS | FIXED, address + PAGE_BYTES) == address + PAGE_BYTES
    )
    expected = b"\xff" * PAGE_BYTES + bytes(2 * PAGE_BYTES) + b"\xff" * PAGE_BYTES
    assert call.peek(address, 4 * PAGE_BYTES) == expected
    assert call("munmap", address, 4 * PAGE_BYTES) == 0


def test_a_hole_can_be_made_and_filled(call: Any) -> None:
    address = _map(call, 3 * PAGE_BYTES)
    middle = address + PAGE_BYTES
    assert call("munmap", middle, PAGE_BYTES) == 0
    assert call("write", 1, middle - 1, 2) == -Error.EFAULT
    assert call("mprotect", address, 3 * PAGE_BYTES, READ) == -Error.ENOMEM
    assert _map(call, PAGE_BYTES, PRIVATE | ANONYMOUS | NO_REPLACE, middle) == middle
    assert call("write", 1, middle - 1, 2) == 2


def test_protection_changes_what_the_kernel_may_touch_too(call: Any) -> None:
    address = _map(call, 2 * PAGE_BYTES)
    assert call("mprotect", address, PAGE_BYTES, READ) == 0
    assert call("getrandom", address, 8, 0) == -Error.EFAULT
    assert call("getrandom", address + PAGE_BYTES, 8, 0) == 8
    assert call("mprotect", address, PAGE_BYTES, 0) == 0
    assert call("write", 1, address, 1) == -Error.EFAULT
    assert call("mprotect", address + 1, PAGE_BYTES, READ) == -Error.EINVAL


def test_the_heap_grows_and_shrinks_and_is_zero_again(call: Any) -> None:
    start = call("brk", 0)
    assert call("brk", start + 100_001) == start + 100_001
    call.process.space.write(start, b"\xff" * 100_001)
    assert call("brk", start + 50_000) == start + 50_000
    assert call("brk", start + 100_000) == start + 100_000
    assert call.peek(start, 100_000) == b"\xff" * 50_000 + bytes(50_000)
    assert call("brk", start) == start
    assert call("brk", start - 1) == start
    assert call("brk", start + 511 * MIB) == start
    assert call("brk", 1 << 63) == start


def test_the_heap_stops_where_something_else_begins(call: Any) -> None:
    start = call("brk", 0)
    assert _map(call, PAGE_BYTES, PRIVATE | ANONYMOUS | FIXED, start + MIB) == start + MIB
    assert call("brk", start + MIB) == start + MIB
    assert call("brk", start + MIB + 1) == start + MIB
    assert call("munmap", start, PAGE_BYTES) == 0
    assert call("brk", start + PAGE_BYTES) == start + MIB


def test_a_mapping_moves_with_its_contents_when_it_must(call: Any) -> None:
    address = _map(call, 2 * PAGE_BYTES)
    call.process.space.write(address, b"kept")
    assert call("mremap", address, 2 * PAGE_BYTES, 4 * PAGE_BYTES, 0) == -Error.ENOMEM
    moved = call("mremap", address, 2 * PAGE_BYTES, 4 * PAGE_BYTES, 1)
    assert moved not in (address, -Error.ENOMEM)
    assert call.peek(moved, 4) == b"kept"
    assert call("write", 1, address, 1) == -Error.EFAULT
    assert call("mremap", moved, 4 * PAGE_BYTES, PAGE_BYTES, 0) == moved
    assert call("mremap", moved, PAGE_BYTES, 3 * PAGE_BYTES, 0) == moved
    assert call("mremap", moved, 3 * PAGE_BYTES, 480 * MIB, 1) == -Error.ENOMEM
    assert call("mremap", moved, 0, 4096, 1) == -Error.EINVAL


def test_advice_to_drop_pages_makes_them_zero(call: Any) -> None:
    address = _map(call, 2 * PAGE_BYTES)
    call.process.space.write(address, b"\xff" * 2 * PAGE_BYTES)
    assert call("madvise", address, PAGE_BYTES, 4) == 0
    assert call.peek(address, 2 * PAGE_BYTES) == bytes(PAGE_BYTES) + b"\xff" * PAGE_BYTES


def test_the_program_cannot_unmap_what_is_not_its_own(call: Any) -> None:
    region = call.process.space.memory.allocate(PAGE_BYTES, Owner.SYSTEM, "ring", PAGE_BYTES)
    assert call("munmap", region.address, PAGE_BYTES) == 0
    assert region in call.process.space.memory.regions
    assert _map(call, PAGE_BYTES, PRIVATE | ANONYMOUS | FIXED, region.address) == -Error.ENOMEM
    assert call("munmap", PROGRAM.end, PAGE_BYTES) == -Error.EINVAL
    assert call("munmap", 0x20001, PAGE_BYTES) == -Error.EINVAL
    assert call("munmap", 0x20000, 0) == -Error.EINVAL


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["map", "unmap", "protect"]),
        st.integers(16, 40),
        st.integers(1, 12),
        st.integers(0, 7),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_pages_are_what_a_plain_model_of_them_says(steps: list[tuple[str, int, int, int]]) -> None:
    space = AddressSpace(Pages(UnifiedMemory()))
    model: dict[int, int] = {}
    for name, first, count, rights in steps:
        pages = range(first, first + count)
        start, size = first * PAGE_BYTES, count * PAGE_BYTES
        if name == "map" and space.memory.is_free(start, size):
            space.allocate(size, "any", Protection(rights), start)
            model |= dict.fromkeys(pages, rights)
        elif name == "unmap":
            space.release(start, size)
            for page in pages:
                model.pop(page, None)
        elif name == "protect":
            try:
                space.protect(start, size, Protection(rights))
            except GuestError:
                assert not model.keys() >= set(pages)
                continue
            model |= dict.fromkeys(pages, rights)
    for page in range(16, 60):
        assert space.protection_at(page * PAGE_BYTES) == model.get(page)
        assert space.readable(page * PAGE_BYTES, PAGE_BYTES + 1) == all(
            model.get(one, 0) & 1 for one in (page, page + 1)
        )

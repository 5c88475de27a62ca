"""Unified memory: regions never overlap, are zero, and the account is right."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenon.errors import XenonError
from xenon.hardware.memory import OutOfMemoryError, Owner, Region, UnifiedMemory
from xenon.hardware.memory_map import KIB, MIB, RAM_BYTES, SYSTEM, MemoryMap, Range, in_units
from xenon.linux.layout import LINUX_MAP, NULL_GUARD, PROGRAM


def _memory(memory_bytes: int | None = None) -> UnifiedMemory:
    return UnifiedMemory(memory_bytes, LINUX_MAP)


def test_the_map_of_linux_covers_ram_without_gaps() -> None:
    parts = (NULL_GUARD, PROGRAM, SYSTEM)
    assert parts[0].start == 0
    assert parts[-1].end == RAM_BYTES == 512 * MIB
    assert all(low.end == high.start for low, high in pairwise(parts))
    assert (NULL_GUARD.size, SYSTEM.size) == (64 * KIB, 32 * MIB)
    assert LINUX_MAP.reserved == (NULL_GUARD, SYSTEM)


def test_the_console_itself_reserves_no_more_than_the_system_needs() -> None:
    memory = UnifiedMemory()
    assert [(region.purpose, region.address) for region in memory.regions] == [(SYSTEM.purpose, SYSTEM.start)]
    assert memory.allocate(4096, Owner.CPU, "vectors", 4096, 0).address == 0


def test_another_machine_has_another_map() -> None:
    low, high = Range("vectors", 0, 4096), Range("screen", 12 * KIB, 4096)
    small = MemoryMap(24 * KIB, (high,)).reserving(low)
    assert small.reserved == (low, high)
    assert small.free("free") == (Range("free", 4096, 8 * KIB), Range("free", 16 * KIB, 8 * KIB))
    memory = UnifiedMemory(memory_map=small)
    assert (memory.size, memory.used) == (24 * KIB, 8 * KIB)
    assert memory.allocate(8 * KIB, Owner.CPU, "at the end", 4096).end == 24 * KIB
    assert not memory.is_free(12 * KIB, 128)
    assert not memory.is_free(24 * KIB, 128)
    assert memory.allocate(8 * KIB, Owner.CPU, "between", 4096).address == 4096
    with pytest.raises(XenonError, match="outside RAM"):
        memory.read(24 * KIB, 1)
    everything = UnifiedMemory(memory_map=MemoryMap(8 * KIB, ()))
    assert everything.allocate(8 * KIB, Owner.CPU, "all", 4096).address == 0
    with pytest.raises(OutOfMemoryError, match="0 bytes free"):
        everything.allocate(128, Owner.CPU, "more")


def test_a_model_of_418_mib_fits_beside_a_program_that_is_linked_low() -> None:
    memory = _memory()
    memory.allocate(8 * MIB, Owner.CPU, "program", 4096, 0x0100_0000)
    memory.allocate(8 * MIB, Owner.CPU, "stack", 4096)
    memory.allocate(MIB, Owner.CPU, "small", 4096)
    model = memory.allocate(418 * MIB, Owner.SHARED, "model", 4096)
    assert model.end <= SYSTEM.start


def test_over_budget_names_purpose_sizes_and_the_three_largest() -> None:
    memory = _memory()
    memory.allocate(100 * MIB, Owner.GPU, "weights")
    memory.allocate(50 * MIB, Owner.CPU, "cache")
    with pytest.raises(OutOfMemoryError) as caught:
        memory.allocate(400 * MIB, Owner.SHARED, "activations")
    assert "activations asks for 400 MiB" in caught.value.message
    assert "329.9 MiB free of 512 MiB" in caught.value.message
    assert caught.value.hint == (
        "the largest regions are weights (gpu) 100 MiB, cache (cpu) 50 MiB, "
        "system and framebuffer (system) 32 MiB"
    )


def test_a_smaller_machine_keeps_its_addresses_and_refuses_sooner() -> None:
    memory = _memory(64 * MIB)
    memory.allocate(30 * MIB, Owner.CPU, "program", 4096, 0x1000_0000)
    with pytest.raises(OutOfMemoryError, match="of 64 MiB"):
        memory.allocate(2 * MIB, Owner.CPU, "more")


@pytest.mark.parametrize("size", [0, -1, 32 * MIB, 512 * MIB + 1])
def test_a_machine_of_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(XenonError):
        _memory(size)


@pytest.mark.parametrize(
    "address", [0, NULL_GUARD.end - 128, SYSTEM.start, SYSTEM.start - 128, RAM_BYTES, -128, 1 << 64]
)
def test_a_place_that_is_not_the_programs_is_refused(address: int) -> None:
    with pytest.raises(XenonError):
        _memory().allocate(256, Owner.CPU, "misplaced", address=address)


def test_the_systems_regions_cannot_be_freed() -> None:
    memory = _memory()
    for region in memory.regions:
        with pytest.raises(XenonError):
            memory.free(region)


def test_a_region_is_freed_once() -> None:
    memory = _memory()
    region = memory.allocate(128, Owner.CPU, "once")
    memory.free(region)
    with pytest.raises(XenonError):
        memory.free(region)


@pytest.mark.parametrize("address", [-1, RAM_BYTES - 3, RAM_BYTES, 1 << 63])
def test_reading_and_writing_outside_ram_is_an_error(address: int) -> None:
    with pytest.raises(XenonError):
        _memory().read(address, 4)
    with pytest.raises(XenonError):
        _memory().write(address, b"four")


def test_memory_comes_back_zero_at_every_alignment() -> None:
    memory = _memory()
    for size in (128, 4096, 4096 + 128, 64 * KIB - 128):
        region = memory.allocate(size, Owner.CPU, "used")
        memory.slice(region.address, region.size)[:] = b"\xff" * region.size
        memory.free(region)
        again = memory.allocate(size, Owner.CPU, "again")
        assert again.address == region.address
        assert memory.read(again.address, again.size) == bytes(size)
        memory.free(again)


def test_freeing_leaves_the_neighbours_bytes() -> None:
    memory = _memory()
    low, middle, high = (memory.allocate(5 * 4096 + 128, Owner.CPU, name) for name in "hml")
    for region in (low, middle, high):
        memory.slice(region.address, region.size)[:] = b"\xaa" * region.size
    memory.free(middle)
    for region in (low, high):
        assert memory.read(region.address, region.size) == b"\xaa" * region.size


@pytest.mark.parametrize("is_rare", [False, True])
def test_a_filled_range_is_the_programs_own_and_zero_once_cleared(is_rare: bool) -> None:
    first, second = UnifiedMemory(), UnifiedMemory()
    for memory in (first, second):
        memory.fill(64 * KIB, 6 * MIB, b"\1\2\3\4", is_rare)
    assert first.read(64 * KIB - 4, 8) == bytes(4) + b"\1\2\3\4"
    assert first.read(6 * MIB - 4, 8) == b"\1\2\3\4" + bytes(4)
    assert first.read(MIB, 4 * MIB) == b"\1\2\3\4" * MIB
    first.write(4 * MIB, b"own")
    assert (first.read(4 * MIB, 4), second.read(4 * MIB, 4)) == (b"own\4", b"\1\2\3\4")
    first.clear(2 * MIB + 2, 5 * MIB)
    assert first.read(2 * MIB, 4) == b"\1\2\0\0"
    assert not any(first.read(2 * MIB + 2, 3 * MIB - 2))


def test_sizes_are_shown_for_people() -> None:
    assert [in_units(size) for size in (1, 100, 64 * KIB, MIB * 3 // 2)] == [
        "1 byte",
        "100 bytes",
        "64 KiB",
        "1.5 MiB",
    ]


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["allocate", "place", "free", "split", "resize"]),
        st.integers(1, 40 * MIB),
        st.integers(7, 20),
        st.integers(0, 100),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(OPERATIONS)
def test_regions_never_overlap_and_their_sum_is_what_is_used(
    operations: list[tuple[str, int, int, int]],
) -> None:
    memory = _memory()
    peak = memory.used
    for name, size, shift, pick in operations:
        own = [region for region in memory.regions if region.owner is not Owner.SYSTEM]
        region = own[pick % len(own)] if own else None
        with suppress(XenonError):
            _apply(memory, name, size, 1 << shift, region)
        peak = max(peak, memory.used)
        _check(memory)
    assert memory.high_water == peak
    for region in memory.regions:
        if region.owner is not Owner.SYSTEM:
            memory.free(region)
    assert memory.used == NULL_GUARD.size + SYSTEM.size


def _apply(memory: UnifiedMemory, name: str, size: int, alignment: int, region: Region | None) -> None:
    if name == "allocate":
        made = memory.allocate(size, Owner.CPU, "any", alignment)
        assert made.address % alignment == 0
        assert made.size >= size
        assert memory.read(made.address, 256 if made.size >= 256 else 128).count(0) >= 128
        memory.write(made.address, b"\xff" * 128)
        memory.write(made.end - 128, b"\xff" * 128)
    elif name == "place":
        memory.allocate(size, Owner.GPU, "placed", address=PROGRAM.start + size * 8 // 4096 * 4096)
    elif region is not None:
        if name == "free":
            memory.free(region)
            assert memory.read(region.end - 128, 128) == bytes(128)
        elif name == "split":
            low, high = memory.split(region, region.address + size // 128 * 128)
            assert (low.address, low.end, high.end) == (region.address, high.address, region.end)
        else:
            assert memory.resize(region, size).size >= size


def _check(memory: UnifiedMemory) -> None:
    regions = memory.regions
    assert sum(region.size for region in regions) == memory.used <= memory.high_water <= memory.size
    assert all(low.end <= high.address for low, high in pairwise(regions))
    assert regions[0].address == 0
    assert regions[-1].end == RAM_BYTES

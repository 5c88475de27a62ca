"""Unified memory: one pool of RAM for CPU and GPU; every use is a region with an owner and a purpose."""

from __future__ import annotations

import ctypes
import mmap
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from enum import Enum
from operator import attrgetter
from typing import NamedTuple

from xenon.errors import ErrorCode, XenonError
from xenon.hardware.host_memory import reserve, show_repeated
from xenon.hardware.memory_map import (
    CACHE_LINE_BYTES,
    PAGE_BYTES,
    RAM_BYTES,
    XENON,
    MemoryMap,
    align_down,
    align_up,
    in_units,
)
from xenon.host.memory import give_back, prefer_large_pages

_ADDRESS = attrgetter("address")
# Behind RAM in the host's memory, and no part of it: room for a byte a page and some more, for an engine that
# has the address of RAM at hand.
BEHIND_BYTES = RAM_BYTES // PAGE_BYTES + PAGE_BYTES
_FILLED_AT_ONCE = 1 << 20  # bytes


class Owner(Enum):
    """Who a region belongs to."""

    CPU = "cpu"
    GPU = "gpu"
    SHARED = "shared"
    SYSTEM = "system"


class Region(NamedTuple):
    """One use of RAM: `size` bytes from the physical address `address`."""

    owner: Owner
    purpose: str
    address: int
    size: int
    alignment: int

    @property
    def end(self) -> int:
        return self.address + self.size


class OutOfMemoryError(XenonError):
    """An allocation does not fit. The kernel answers a guest's request with ENOMEM instead."""

    code = ErrorCode.OUT_OF_MEMORY


class UnifiedMemory:
    """A machine's RAM as one host buffer, and the account of who uses what.

    `memory_map` says how much RAM there is and which parts belong to the system. The buffer always spans all
    of its addresses and is committed by the host page by page, as
    it is touched. `memory_bytes` makes a smaller machine: addresses stay where they are, the sum of all
    regions may not exceed it. Regions are handed out zeroed, from the highest fitting gap downwards, so
    that a program's heap can grow upwards and the space between stays in one piece.
    """

    def __init__(self, memory_bytes: int | None = None, memory_map: MemoryMap = XENON) -> None:
        ram_bytes = memory_map.ram_bytes
        memory_bytes = ram_bytes if memory_bytes is None else memory_bytes
        smallest = memory_map.reserved_bytes + PAGE_BYTES
        if not smallest <= memory_bytes <= ram_bytes:
            raise XenonError(
                f"memory of {in_units(memory_bytes)}, expected {in_units(smallest)} to {in_units(ram_bytes)}",
                f"{in_units(memory_map.reserved_bytes)} of it belong to the system",
            )
        self.map = memory_map
        self.size = memory_bytes
        self._buffer = reserve(ram_bytes + BEHIND_BYTES, "the console's RAM")
        prefer_large_pages(self._buffer)
        self.view = memoryview(self._buffer)[:ram_bytes]
        """All of RAM; slices of it are zero-copy, also for numpy.frombuffer."""
        self.host_address = ctypes.addressof(ctypes.c_char.from_buffer(self._buffer))
        """Where physical address 0 lies in the host's memory."""
        self._regions = [
            Region(Owner.SYSTEM, part.purpose, part.start, part.size, PAGE_BYTES)
            for part in memory_map.reserved
        ]
        self._is_filled = False  # pages that the host takes back would not be zero again
        self._used = sum(region.size for region in self._regions)
        self._high_water = self._used

    @property
    def regions(self) -> tuple[Region, ...]:
        """Every region in the order of addresses, the system's own among them."""
        return tuple(self._regions)

    @property
    def used(self) -> int:
        """Bytes in regions, the system's own included."""
        return self._used

    @property
    def available(self) -> int:
        """Bytes that are in no region; possibly not in one piece."""
        return self.size - self._used

    @property
    def high_water(self) -> int:
        """The most bytes that were ever in regions at the same time."""
        return self._high_water

    def allocate(
        self,
        size: int,
        owner: Owner,
        purpose: str,
        alignment: int = CACHE_LINE_BYTES,
        address: int | None = None,
    ) -> Region:
        """A zeroed region of `size` bytes, rounded up to whole cache lines, anywhere or exactly at `address`.

        Raises OutOfMemoryError when it does not fit, XenonError for a size or an alignment that cannot be.
        """
        if size <= 0 or alignment < CACHE_LINE_BYTES or alignment & (alignment - 1):
            raise XenonError(f"{purpose}: cannot allocate {size} bytes aligned to {alignment}")
        size = align_up(size, CACHE_LINE_BYTES)
        if size > self.available:
            raise self._out_of_memory(purpose, size)
        place = self._highest_gap(size, alignment) if address is None else address
        if place is None or place % alignment or not self.is_free(place, size):
            raise self._out_of_memory(purpose, size, address)
        region = Region(owner, purpose, place, size, alignment)
        self._regions.insert(bisect_left(self._regions, place, key=_ADDRESS), region)
        self._account(size)
        return region

    def free(self, region: Region) -> None:
        """Give a region back; its contents are gone."""
        del self._regions[self._index(region)]
        self._account(-region.size)
        self.clear(region.address, region.end)

    def resize(self, region: Region, size: int) -> Region:
        """The region with its end moved, where it stands; what is added is zero.

        Raises OutOfMemoryError when the space behind it is taken.
        """
        index = self._index(region)
        size = align_up(size, CACHE_LINE_BYTES)
        more = size - region.size
        if size <= 0:
            raise XenonError(f"{region.purpose}: cannot resize to {size} bytes")
        if more > 0 and (more > self.available or not self.is_free(region.end, more)):
            raise self._out_of_memory(region.purpose, size, region.address)
        self._regions[index] = resized = region._replace(size=size)
        self._account(more)
        if more < 0:
            self.clear(resized.end, region.end)
        return resized

    def split(self, region: Region, address: int) -> tuple[Region, Region]:
        """Two regions in place of one, parted at `address`, a whole cache line inside it. Contents stay."""
        index = self._index(region)
        if not region.address < address < region.end or address % CACHE_LINE_BYTES:
            raise XenonError(f"{region.purpose}: cannot split at 0x{address:x}")
        low = region._replace(size=address - region.address)
        high = region._replace(address=address, size=region.end - address, alignment=CACHE_LINE_BYTES)
        self._regions[index : index + 1] = [low, high]
        return low, high

    def rename(self, region: Region, purpose: str, owner: Owner) -> Region:
        """The region with another purpose and owner in the account."""
        index = self._index(region)
        self._regions[index] = renamed = region._replace(purpose=purpose, owner=owner)
        return renamed

    def is_free(self, address: int, size: int) -> bool:
        """Whether all of these bytes lie in RAM and in no region."""
        in_ram = size > 0 and 0 <= address <= self.map.ram_bytes - size
        return in_ram and not self.overlapping(address, address + size)

    def region_at(self, address: int) -> Region | None:
        """The region that this address lies in."""
        index = bisect_right(self._regions, address, key=_ADDRESS) - 1
        return self._regions[index] if index >= 0 and address < self._regions[index].end else None

    def overlapping(self, start: int, end: int) -> list[Region]:
        """The regions that share a byte with start to end, in the order of addresses."""
        first = bisect_right(self._regions, start, key=_ADDRESS) - 1
        last = bisect_left(self._regions, end, key=_ADDRESS)
        return [region for region in self._regions[max(first, 0) : last] if region.end > start]

    def slice(self, address: int, size: int) -> memoryview:
        """A writable view of RAM. Raises XenonError where that leaves RAM."""
        if address < 0 or size < 0 or address + size > self.map.ram_bytes:
            raise XenonError(f"0x{address:x}: {size} bytes from here are outside RAM")
        return self.view[address : address + size]

    def read(self, address: int, size: int) -> bytes:
        """A copy of `size` bytes. Raises XenonError where that leaves RAM."""
        return bytes(self.slice(address, size))

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Copy bytes into RAM. Raises XenonError where that leaves RAM."""
        self.slice(address, len(data))[:] = data

    def _gaps_downwards(self) -> Iterator[tuple[int, int]]:
        """(start, end) of the space between regions, the highest first."""
        end = self.map.ram_bytes
        for region in reversed(self._regions):
            if region.end < end:
                yield region.end, end
            end = region.address
        if end:
            yield 0, end

    def _highest_gap(self, size: int, alignment: int) -> int | None:
        for start, end in self._gaps_downwards():
            place = align_down(end - size, alignment)
            if place >= start:
                return place
        return None

    def _index(self, region: Region) -> int:
        index = bisect_left(self._regions, region.address, key=_ADDRESS)
        if index == len(self._regions) or self._regions[index] != region or region.owner is Owner.SYSTEM:
            raise XenonError(f"{region.purpose}: no such region at 0x{region.address:x}")
        return index

    def _account(self, size: int) -> None:
        self._used += size
        self._high_water = max(self._high_water, self._used)

    def clear(self, start: int, end: int) -> None:
        """Zero this range, giving whole pages back to the host where the host can take them."""
        first, last = align_up(start, mmap.PAGESIZE), align_down(end, mmap.PAGESIZE)
        if self._is_filled or not give_back(self._buffer, first, last):
            first = last = end
        for low, high in ((start, first), (last, end)):
            self.view[low:high] = bytes(high - low)

    def fill(self, start: int, end: int, pattern: bytes, is_rare: bool = False) -> None:
        """Fill a range of whole pages with a pattern whose length divides a page.

        A range that `is_rare`ly used takes no memory of the host's before it is written to, if the host can
        do that; and is slower then, since the host does not use large pages for it.
        """
        self._is_filled = True
        if is_rare and show_repeated(self.host_address + start, end - start, pattern):
            return
        piece = pattern * (_FILLED_AT_ONCE // len(pattern))
        for place in range(start, end, _FILLED_AT_ONCE):
            size = min(_FILLED_AT_ONCE, end - place)
            self.view[place : place + size] = piece[:size]

    def _out_of_memory(self, purpose: str, size: int, address: int | None = None) -> OutOfMemoryError:
        largest = sorted(self._regions, key=lambda region: -region.size)[:3]
        gap = max((end - start for start, end in self._gaps_downwards()), default=0)
        where = "" if address is None else f" at 0x{address:x}"
        return OutOfMemoryError(
            f"out of memory: {purpose} asks for {in_units(size)}{where}, {in_units(self.available)} free of "
            f"{in_units(self.size)}, {in_units(min(gap, self.available))} in one piece",
            "the largest regions are "
            + ", ".join(
                f"{region.purpose} ({region.owner.value}) {in_units(region.size)}" for region in largest
            ),
        )

"""The program's memory: its regions are kept here, the rights of its pages in the machine's table."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from xenon.hardware.cpu import Protection
from xenon.hardware.memory import OutOfMemoryError, Owner, Region
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES, align_up, physical
from xenon.hardware.pages import Pages
from xenon.linux.uapi import Error, GuestError

_MOST_REGIONS = 4096  # as Linux bounds its map count
# Stretches of pages with the same rights. An engine's time for a change of its map grows with their square:
# 20 milliseconds at this number, a tenth of a second at twice as many.
_MOST_PIECES = 1024


class AddressSpace:
    """The one address space of the program: virtual is physical. Every guest pointer is checked here.

    A pointer to data may point into a physical view; regions and their rights are changed at their physical
    address alone.
    """

    def __init__(self, pages: Pages) -> None:
        self.memory = pages.memory
        self._pages = pages
        self.lock = threading.RLock()
        """Held while regions and pages change."""
        self._kept: set[int] = set()  # addresses of regions that are not the program's

    def allocate(
        self, size: int, purpose: str, protection: Protection, address: int | None = None, hidden: int = 0
    ) -> Region:
        """A new region of whole pages, all mapped but for the lowest `hidden` bytes (a guard below a stack).

        Raises OutOfMemoryError when it does not fit, or makes more pieces than there may be.
        """
        size = align_up(size, PAGE_BYTES)
        region = self.memory.allocate(size, Owner.CPU, purpose, PAGE_BYTES, address)
        if size > hidden:
            if not self._may_change(region.address + hidden, size - hidden, protection):
                self.memory.free(region)
                raise OutOfMemoryError(f"{purpose}: the map of memory has {_MOST_PIECES} pieces already")
            self._pages.map(region.address + hidden, size - hidden, protection)
        return region

    def keep(self, size: int, purpose: str) -> Region:
        """A region that the program does not see and cannot release. Raises OutOfMemoryError."""
        with self.lock:
            if not self.has_room_for_regions():
                raise OutOfMemoryError(f"{purpose}: there are {_MOST_REGIONS} regions already")
            region = self.memory.allocate(size, Owner.CPU, purpose, PAGE_BYTES)
            self._kept.add(region.address)
            return region

    def drop(self, region: Region) -> None:
        """Give a region back that was kept."""
        with self.lock:
            self._kept.remove(region.address)
            self.memory.free(region)

    def grow(self, region: Region, size: int, protection: Protection) -> Region:
        """The region with whole pages added behind it, or taken from its end."""
        size = align_up(size, PAGE_BYTES)
        if size < region.size:
            self._pages.unmap(region.address + size, region.size - size)
            return self.memory.resize(region, size)
        grown = self.memory.resize(region, size)
        if size > region.size:
            self._pages.map(region.end, size - region.size, protection)
        return grown

    def release(self, start: int, size: int) -> None:
        """Unmap whole pages and free what regions have in them; the system's own regions are not touched.

        Raises GuestError(ENOMEM) when that makes more pieces than there may be.
        """
        end = min(start + align_up(size, PAGE_BYTES), RAM_BYTES)
        if start >= end:
            return
        if not self._may_change(start, end - start, None):
            raise GuestError(Error.ENOMEM)
        for region in self.memory.overlapping(start, end):
            if region.owner is Owner.SYSTEM or region.address in self._kept:
                continue
            if region.address < start:
                region = self.memory.split(region, start)[1]
            if region.end > end:
                region = self.memory.split(region, end)[0]
            self._pages.unmap(region.address, region.size)
            self.memory.free(region)

    def protect(self, start: int, size: int, protection: Protection) -> None:
        """Change the protection of whole pages. Raises GuestError(ENOMEM) when some of them are not mapped,
        or when that makes more pieces than there may be."""
        size = align_up(size, PAGE_BYTES)
        if size == 0:
            return
        if not self._pages.allows(start, size) or not self._may_change(start, size, protection):
            raise GuestError(Error.ENOMEM)
        self._pages.protect(start, size, protection)

    def protection_at(self, address: int) -> Protection | None:
        """The protection of the page that holds this address; None where nothing is mapped."""
        return self._pages.protection_at(address)

    def readable(self, address: int, size: int) -> bool:
        """Whether the program itself could read all of these bytes."""
        return self._pages.allows(physical(address), size, Protection.READ)

    def view(self, address: int, size: int) -> memoryview:
        """The guest's bytes in place, to be read. Raises GuestError(EFAULT) where it could not read all of
        them itself."""
        return self._checked(address, size, Protection.READ).toreadonly()

    @contextmanager
    def writing(self, address: int, size: int) -> Iterator[memoryview]:
        """The guest's bytes in place, to be written until the block ends. Raises GuestError(EFAULT) where it
        could not write all of them itself."""
        target = self._checked(address, size, Protection.WRITE)
        try:
            yield target
        finally:
            self._pages.written(physical(address), size)

    def check_writable(self, address: int, size: int) -> None:
        """Raises GuestError(EFAULT) where the program could not write all of these bytes itself."""
        self._checked(address, size, Protection.WRITE)

    def _checked(self, address: int, size: int, wanted: Protection) -> memoryview:
        if size == 0:
            return self.memory.slice(0, 0)
        place = physical(address)
        if not self._pages.allows(place, size, wanted):
            raise GuestError(Error.EFAULT)
        return self.memory.slice(place, size)

    def read(self, address: int, size: int) -> bytes:
        """A copy of the guest's bytes. Raises GuestError(EFAULT)."""
        return bytes(self.view(address, size))

    def write(self, address: int, data: bytes) -> None:
        """Copy into the guest's memory. Raises GuestError(EFAULT)."""
        self._checked(address, len(data), Protection.WRITE)[:] = data
        self._pages.written(physical(address), len(data))

    @contextmanager
    def filling(self, address: int, size: int) -> Iterator[memoryview]:
        """Bytes of RAM, whatever the program's rights to them, to be written until the block ends."""
        try:
            yield self.memory.slice(address, size)
        finally:
            self._pages.written(address, size)

    def clear(self, start: int, end: int) -> None:
        """Zero this range of RAM."""
        self.memory.clear(start, end)
        self._pages.written(start, end - start)

    def read_string(self, address: int, limit: int) -> bytes:
        """Bytes up to a zero. Raises GuestError: EFAULT, or ENAMETOOLONG without a zero in `limit` bytes."""
        found = b""
        while len(found) < limit:
            here = address + len(found)
            part = self.read(here, min(PAGE_BYTES - here % PAGE_BYTES, limit - len(found)))
            head, zero, _ = part.partition(b"\0")
            found += head
            if zero:
                return found
        raise GuestError(Error.ENAMETOOLONG)

    def _may_change(self, start: int, size: int, protection: Protection | None) -> bool:
        added = self._pages.pieces_added(start, size, protection)
        return added <= 0 or self._pages.pieces + added <= _MOST_PIECES

    def has_room_for_regions(self) -> bool:
        """Whether the program may make further regions."""
        return len(self.memory.regions) < _MOST_REGIONS

"""What guest code may touch: pages of unified memory with their protection, kept alike in every CPU."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from xenon.hardware.cpu import Cpu, Protection
from xenon.hardware.memory import Owner, Region, UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES, align_down, align_up, physical
from xenon.linux.uapi import Error, GuestError

_MAPPED = 8
_READABLE = bytes(_MAPPED | bits for bits in range(8) if bits & Protection.READ)
_WRITABLE = bytes(_MAPPED | bits for bits in range(8) if bits & Protection.WRITE)
_MOST_REGIONS = 4096  # as Linux bounds its map count: pieces slow each change of the map


class AddressSpace:
    """The one address space of the program: virtual is physical. Every guest pointer is checked here."""

    def __init__(self, memory: UnifiedMemory, cpus: Sequence[Cpu]) -> None:
        self.memory = memory
        self._cpus = cpus
        self.lock = threading.RLock()
        """Held while regions and pages change."""
        # One byte a page: 0 when it is not mapped, else _MAPPED and its Protection.
        self._pages = bytearray(RAM_BYTES // PAGE_BYTES)

    def allocate(
        self, size: int, purpose: str, protection: Protection, address: int | None = None, hidden: int = 0
    ) -> Region:
        """A new region of whole pages, all mapped but for the lowest `hidden` bytes (a guard below a stack).

        Raises OutOfMemoryError when it does not fit.
        """
        size = align_up(size, PAGE_BYTES)
        region = self.memory.allocate(size, Owner.CPU, purpose, PAGE_BYTES, address)
        self._map(region.address + hidden, size - hidden, protection)
        return region

    def grow(self, region: Region, size: int, protection: Protection) -> Region:
        """The region with whole pages added behind it, or taken from its end."""
        size = align_up(size, PAGE_BYTES)
        if size < region.size:
            self._unmap(region.address + size, region.size - size)
            return self.memory.resize(region, size)
        grown = self.memory.resize(region, size)
        if size > region.size:
            self._map(region.end, size - region.size, protection)
        return grown

    def release(self, start: int, size: int) -> None:
        """Unmap whole pages and free what regions have in them; the system's own regions are not touched."""
        end = min(start + align_up(size, PAGE_BYTES), RAM_BYTES)
        for found in self.memory.overlapping(start, end):
            if found.owner is Owner.SYSTEM:
                continue
            region = found
            if region.address < start:
                region = self.memory.split(region, start)[1]
            if region.end > end:
                region = self.memory.split(region, end)[0]
            self._unmap(region.address, region.size)
            self.memory.free(region)

    def protect(self, start: int, size: int, protection: Protection) -> None:
        """Change the protection of whole pages. Raises GuestError(ENOMEM) when some of them are not
        mapped."""
        size = align_up(size, PAGE_BYTES)
        if size and not self._all(start, size, bytes(range(_MAPPED, _MAPPED + 8))):
            raise GuestError(Error.ENOMEM)
        if size:
            for cpu in self._cpus:
                cpu.protect(start, size, protection)
            self._mark(start, size, _MAPPED | protection)

    def protection_at(self, address: int) -> Protection | None:
        """The protection of the page that holds this address; None where nothing is mapped."""
        page = self._pages[address // PAGE_BYTES] if 0 <= address < RAM_BYTES else 0
        return Protection(page & 7) if page else None

    def readable(self, address: int, size: int) -> bool:
        """Whether the program itself could read all of these bytes."""
        return self._all(address, size, _READABLE)

    def view(self, address: int, size: int, write: bool = False) -> memoryview:
        """The guest's bytes in place. Raises GuestError(EFAULT) where it could not reach all of them
        itself."""
        if size == 0:
            return self.memory.slice(0, 0)
        address = physical(address)
        if not self._all(address, size, _WRITABLE if write else _READABLE):
            raise GuestError(Error.EFAULT)
        if write and any(
            self._pages[page] & Protection.EXECUTE
            for page in {address // PAGE_BYTES, (address + size - 1) // PAGE_BYTES}
        ):
            for cpu in self._cpus:
                cpu.forget_code(address, size)
        return self.memory.slice(address, size)

    def read(self, address: int, size: int) -> bytes:
        """A copy of the guest's bytes. Raises GuestError(EFAULT)."""
        return bytes(self.view(address, size))

    def write(self, address: int, data: bytes) -> None:
        """Copy into the guest's memory. Raises GuestError(EFAULT)."""
        self.view(address, len(data), write=True)[:] = data

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

    def has_room_for_regions(self) -> bool:
        """Whether the program may make further regions."""
        return len(self.memory.regions) < _MOST_REGIONS

    def _map(self, start: int, size: int, protection: Protection) -> None:
        for cpu in self._cpus:
            cpu.map(start, size, protection)
        self._mark(start, size, _MAPPED | protection)

    def _unmap(self, start: int, size: int) -> None:
        first = start
        while first < start + size:  # in stretches that are mapped, a guard is not
            end = first
            while end < start + size and self._pages[end // PAGE_BYTES]:
                end += PAGE_BYTES
            if end > first:
                for cpu in self._cpus:
                    cpu.unmap(first, end - first)
            first = end + PAGE_BYTES
        self._mark(start, size, 0)

    def _mark(self, start: int, size: int, value: int) -> None:
        pages = size // PAGE_BYTES
        first = start // PAGE_BYTES
        self._pages[first : first + pages] = bytes([value]) * pages

    def _all(self, start: int, size: int, allowed: bytes) -> bool:
        """Whether each page of these bytes is marked with one of the values in `allowed`."""
        start = physical(start)
        if not 0 <= start <= RAM_BYTES - size or size <= 0:
            return False
        first = align_down(start, PAGE_BYTES) // PAGE_BYTES
        last = (start + size - 1) // PAGE_BYTES
        return not self._pages[first : last + 1].strip(allowed)

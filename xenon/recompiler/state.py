"""What compiled code and Unicorn share: the structures of lifter/layout.py, and the dispatch table."""

from __future__ import annotations

import ctypes
import re
import sys
from functools import cache

from xenon.hardware.cpu import Protection
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.hardware.unicorn.instruments import Instruments
from xenon.lifter.layout import FAR_PAGES, READ, READ_FAR, SIZE, WRITE_FAR, WRITE_ONE
from xenon.powerpc.abi import INSTRUCTION_BYTES

_PAGE_COUNT = RAM_BYTES // PAGE_BYTES
_DISPATCH_PAGES = _PAGE_COUNT + 1  # RAM's, and one for all addresses outside it
_SLOTS_OF_PAGE = PAGE_BYTES // INSTRUCTION_BYTES
_FARS = {READ: READ_FAR, WRITE_ONE: WRITE_FAR}
_WITHOUT_FAR = bytes(row & ~(READ_FAR | WRITE_FAR) for row in range(256))
_WITH = {far: bytes(row | far for row in range(256)) for far in _FARS.values()}
_ALLOWING = {  # enough pages in a row
    one: re.compile(b"[%s]{%d,}" % (b"".join(b"\\x%02x" % row for row in range(64) if row & one), FAR_PAGES))
    for one in _FARS
}


def _slot(address: int) -> int:
    """The slot of a guest address in the block of its page."""
    return address % PAGE_BYTES // INSTRUCTION_BYTES


class Dispatch:
    """Guest address to compiled code, shared by the CPUs of a console.

    A pointer for each page of RAM, and one more for everything outside it, leads to a block of slots, one
    for each instruction of the page: the host function that serves it, or 0. Pages without compiled code
    share one block of zeros.
    """

    def __init__(self) -> None:
        self._nothing = (ctypes.c_uint64 * _SLOTS_OF_PAGE)()
        self._blocks: dict[int, ctypes.Array[ctypes.c_uint64]] = {}
        self._table = (ctypes.c_uint64 * _DISPATCH_PAGES)()
        nothing = ctypes.addressof(self._nothing).to_bytes(8, sys.byteorder)
        ctypes.memmove(self._table, nothing * _DISPATCH_PAGES, 8 * _DISPATCH_PAGES)
        self.host_address = ctypes.addressof(self._table)

    def set(self, address: int, function: int) -> None:
        """Serve an address in RAM from now on."""
        page = address // PAGE_BYTES
        if page not in self._blocks:
            self._blocks[page] = (ctypes.c_uint64 * _SLOTS_OF_PAGE)()
            self._table[page] = ctypes.addressof(self._blocks[page])
        self._blocks[page][_slot(address)] = function

    def remove(self, address: int) -> None:
        """Leave an address to Unicorn again."""
        if (block := self._blocks.get(address // PAGE_BYTES)) is not None:
            block[_slot(address)] = 0

    def serves(self, address: int) -> bool:
        block = self._blocks.get(address // PAGE_BYTES)
        return block is not None and block[_slot(address)] != 0


@cache
def no_code() -> Dispatch:
    """What leaves every address to Unicorn, for all CPUs of this process."""
    return Dispatch()


class PageTable:
    """What compiled code may read and write, a byte a page; made of what the machine's pages show, as one of
    their listeners or for one.

    The table stands behind RAM: one address leads to both.
    """

    def __init__(self, memory: UnifiedMemory) -> None:
        self._memory = memory  # owns the bytes
        rows = (ctypes.c_uint8 * (_PAGE_COUNT + 1)).from_address(memory.host_address + RAM_BYTES)
        self._bytes = memoryview(rows).cast("B")

    def set(self, address: int, size: int, shown: Protection) -> None:
        """Whole pages inside RAM, as Pages has checked."""
        bits = READ if shown & Protection.READ else 0
        if shown & Protection.WRITE:
            bits |= WRITE_ONE
        first, end = address // PAGE_BYTES, (address + size) // PAGE_BYTES
        if not 0 <= first < end <= _PAGE_COUNT:
            raise ValueError(f"0x{address:x}: {size} bytes from here are outside RAM")
        start = max(0, first - FAR_PAGES + 1)
        self._bytes[start:first] = bytes(self._bytes[start:first]).translate(_WITHOUT_FAR)
        inner = bits | bits << 1
        self._bytes[first:end] = bytes([inner]) * (end - first)
        self._join(end - 1)
        if first:
            self._join(first - 1)
        for one, far in _FARS.items():
            self._reach(start, end, one, far)

    def be_pausable(self) -> None:
        """The table is read anew at each access."""

    def map(self, address: int, size: int, shown: Protection) -> None:
        self.set(address, size, shown)

    def unmap(self, address: int, size: int) -> None:
        self.set(address, size, Protection.NONE)

    def protect(self, address: int, size: int, shown: Protection) -> None:
        self.set(address, size, shown)

    def forget_code(self, address: int, size: int) -> None:
        """Code is not in the table."""

    def _join(self, page: int) -> None:
        bits = self._bytes[page] & (READ | WRITE_ONE)
        self._bytes[page] = bits | (bits & self._bytes[page + 1]) << 1

    def _reach(self, start: int, end: int, one: int, far: int) -> None:
        """Set the bit `far` of the pages from `start` on that are followed by enough pages that allow `one`,
        their own among these."""
        behind = min(end + FAR_PAGES - 1, _PAGE_COUNT)
        for stretch in _ALLOWING[one].finditer(bytes(self._bytes[start:behind])):
            first, last = start + stretch.start(), min(start + stretch.end() - FAR_PAGES + 1, end)
            if first < last:
                self._bytes[first:last] = bytes(self._bytes[first:last]).translate(_WITH[far])


class State:
    """The structure of one CPU, zeroed; in the first page of its instruments where it has some."""

    def __init__(self, instruments: Instruments | None = None) -> None:
        self._instruments = instruments  # whose room it is
        self._room = (ctypes.c_uint8 * (0 if instruments else SIZE + 64))()
        start = instruments.host_address if instruments else ctypes.addressof(self._room)
        self.host_address = start + -start % 64

    def word(self, offset: int) -> ctypes.c_uint64:
        """The 64 bits at an offset, as a view."""
        return ctypes.c_uint64.from_address(self.host_address + offset)

    def short(self, offset: int) -> ctypes.c_uint32:
        """The 32 bits at an offset, as a view."""
        return ctypes.c_uint32.from_address(self.host_address + offset)

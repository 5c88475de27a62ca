"""What compiled code and Unicorn share: the structures of lifter/layout.py, and the dispatch table."""

from __future__ import annotations

import ctypes
import mmap

from xenon.hardware.cpu import Protection
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.hardware.unicorn.instruments import Instruments
from xenon.lifter.layout import (
    DISPATCH_SLOTS,
    NEVER,
    READ,
    SIZE,
    WRITE_ONE,
    slot,
)

_PAGE_COUNT = RAM_BYTES // PAGE_BYTES


class Dispatch:
    """Guest address to compiled code, shared by the CPUs of a console."""

    def __init__(self) -> None:
        self._buffer = mmap.mmap(-1, DISPATCH_SLOTS * 16)
        self._words = (ctypes.c_uint64 * (DISPATCH_SLOTS * 2)).from_buffer(self._buffer)
        self.host_address = ctypes.addressof(self._words)
        ctypes.memset(self.host_address, 0xFF, DISPATCH_SLOTS * 16)  # NEVER in all of them

    def set(self, address: int, function: int) -> bool:
        """Serve an address from now on; False when another address has its slot."""
        index = 2 * slot(address)
        if self._words[index] not in (NEVER, address):
            return False
        self._words[index + 1] = function  # before the address that makes it valid
        self._words[index] = address
        return True

    def remove(self, address: int) -> None:
        """Leave an address to Unicorn again."""
        index = 2 * slot(address)
        if self._words[index] == address:
            self._words[index] = NEVER

    def serves(self, address: int) -> bool:
        return bool(self._words[2 * slot(address)] == address)


class PageTable:
    """What compiled code may read and write, a byte a page; kept in step with what the engine maps.

    A page that holds code is not writable here, so that a program which changes its code does so on Unicorn.
    The table stands behind RAM: one address leads to both.
    """

    def __init__(self, memory: UnifiedMemory) -> None:
        self._memory = memory  # owns the bytes
        self._bytes = (ctypes.c_uint8 * (_PAGE_COUNT + 1)).from_address(memory.host_address + RAM_BYTES)

    def set(self, address: int, size: int, protection: Protection) -> None:
        """Whole pages inside RAM."""
        bits = READ if protection & Protection.READ else 0
        if protection & Protection.WRITE and not protection & Protection.EXECUTE:
            bits |= WRITE_ONE
        first, end = address // PAGE_BYTES, (address + size) // PAGE_BYTES
        inner = bits | bits << 1
        ctypes.memset(ctypes.addressof(self._bytes) + first, inner, end - first)
        self._join(end - 1)
        if first:
            self._join(first - 1)

    def _join(self, page: int) -> None:
        bits = self._bytes[page] & (READ | WRITE_ONE)
        self._bytes[page] = bits | (bits & self._bytes[page + 1]) << 1


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

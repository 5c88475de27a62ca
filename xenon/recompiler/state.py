"""What compiled code and Unicorn hand to each other: one C structure a CPU, and the tables that it points to.

Compiled code knows the structure by the byte offsets below. Registers are host integers: a VR is one 128-bit
number whose most significant byte is element 0; CR is a byte for each of its 32 bits.
"""

from __future__ import annotations

import ctypes
import mmap
from enum import IntEnum

from xenon.hardware.cpu import Protection
from xenon.hardware.instruments import Instruments
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES

GPR, FPR, VR = 0, 256, 512
PC, LR, CTR = 1024, 1032, 1040
CR = 1056  # 32 bytes
CA = 1088  # a byte, 0 or 1
STATUS = 1092  # what an exit asks for, see Status
EXTRA = 1096  # 1 when VR and CA hold the guest's values, which come through a stub in guest code
DIRTY = 1100  # bits of Dirty: what of them has changed
DEPTH = 1104  # compiled functions under way
RAM, DISPATCH = 1112, 1128  # pointers
STOP = 1136  # not 0 when compiled code is to come back (32 bits)
WANTED = 1140  # not 0 when Unicorn is to take a sample: see Instruments, which expects it behind STOP
READ_BATCH, WRITE_BATCH, WRITE = 1144, 1152, 1160  # Unicorn's functions
ENGINE_IDS, ENGINE_PLACES, PC_ID = 1168, 1176, 1184
CR_WORD, FPSCR, SKIP = 1192, 1200, 1208
EXCHANGE = 1216  # pointer to the page through which VR and XER travel
NATIVE_CALLS = 1224  # hand-overs so far
RUNNING = 1232  # 1 while compiled code runs
FUNCTION = 1240  # the compiled function that is under way, in a run that is measured
SIZE = 1280

NEVER = 0xFFFF_FFFF_FFFF_FFFF

DISPATCH_SLOTS = 1 << 16  # guest address and host function, 16 bytes each; a slot serves one address
MOST_DEPTH = 64  # nested compiled calls: the host's stack is finite, the guest's recursion need not be

# Bits of a page's byte in the table behind RAM. "Run": the page behind it allows the same.
READ, READ_RUN, WRITE_ONE, WRITE_RUN = 1, 2, 4, 8
PAGE_COUNT = RAM_BYTES // PAGE_BYTES


class Status(IntEnum):
    """What Unicorn does at the PC that compiled code leaves behind."""

    GO_ON = 0
    REPEAT = 1  # execute this instruction itself: it faults, or is not for compiled code
    NEED_EXTRA = 2  # fetch VR and XER, then enter compiled code again


class Dirty(IntEnum):
    XER = 1
    VECTORS = 2


def slot(address: int) -> int:
    """The slot of a guest address in the dispatch table."""
    return (address >> 2) & (DISPATCH_SLOTS - 1)


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
        self._bytes = (ctypes.c_uint8 * (PAGE_COUNT + 1)).from_address(memory.host_address + RAM_BYTES)

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

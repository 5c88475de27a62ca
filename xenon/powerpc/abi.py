"""What compiled PowerPC code takes for granted: the 64-bit PowerPC ELF ABIs, v1 (1.9) and v2 (1.4)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from enum import IntEnum

INSTRUCTION_BYTES = 4
LOCAL_ENTRY_BYTES = 8
"""Distance from the global to the local entry of an ABI v2 function that sets up its table of contents."""
TOC_SETUP = (0x3C4C, 0x3842)
"""High halves of the words between these entries: `addis r2, r12, …` and `addi r2, r2, …`."""
DESCRIPTOR_BYTES = 16
MOST_FRAMES = 128
"""Stack frames that are followed."""

_FLAGS_ABI = 3  # bits of the ELF header's flags
_SAVED_LR = 16  # offset of the saved LR in the frame of the function's caller
_POINTER_BYTES = 8

ReadMemory = Callable[[int, int], bytes | None]
"""Reads (address, size); None where memory is not readable."""


class AuxiliaryKey(IntEnum):
    """Keys of the auxiliary vector on the first stack (AT_*, Linux uapi/linux/auxvec.h, asm/auxvec.h)."""

    NULL = 0
    PHDR = 3
    PHENT = 4
    PHNUM = 5
    PAGESZ = 6
    BASE = 7
    FLAGS = 8
    ENTRY = 9
    UID = 11
    EUID = 12
    GID = 13
    EGID = 14
    PLATFORM = 15
    HWCAP = 16
    CLKTCK = 17
    DCACHEBSIZE = 19
    ICACHEBSIZE = 20
    UCACHEBSIZE = 21
    SECURE = 23
    RANDOM = 25
    HWCAP2 = 26
    EXECFN = 31


def abi_version(flags: int) -> int:
    """The ABI that the flags of an ELF header name: 1, 2, or 3, which does not exist. Flags 0 mean 1."""
    return flags & _FLAGS_ABI or 1


def descriptor(data: bytes | memoryview) -> tuple[int, int]:
    """(address of the code, table of contents) of an ABI v1 function descriptor, which `data` begins with."""
    code, toc = struct.unpack_from(">QQ", data)
    return code, toc


def sets_up_toc(first: int | None, second: int | None) -> bool:
    """Whether an ABI v2 function begins with these words, so that its local entry stands behind them."""
    return first is not None and second is not None and (first >> 16, second >> 16) == TOC_SETUP


def toc_distance(first: int, second: int) -> int:
    """From a function's start to its table of contents, by the two words that set it up."""
    high, low = (word & 0xFFFF for word in (first, second))
    return ((high ^ 0x8000) - 0x8000 << 16) + (low ^ 0x8000) - 0x8000


def local_entry_distance(first: int | None, second: int | None) -> int:
    """Bytes from a function's start, where these words are, to the entry that every call executes."""
    return LOCAL_ENTRY_BYTES if sets_up_toc(first, second) else 0


def entries_of(fetch: Callable[[int], int | None], address: int) -> tuple[int, ...]:
    """The global and the local entry, given either of them, of a function that has both; else the address.

    `fetch` returns the instruction word at an address, None where there is no code.
    """
    for start in (address, address - LOCAL_ENTRY_BYTES):
        if sets_up_toc(fetch(start), fetch(start + INSTRUCTION_BYTES)):
            return start, start + LOCAL_ENTRY_BYTES
    return (address,)


def saved_links(read: ReadMemory, stack_pointer: int, end: int) -> Iterator[int]:
    """The LR that each function on the stack has saved, from the frame at `stack_pointer` (r1) up to `end`.

    A frame begins with the address of its caller's frame (the back chain), and a function saves its LR in its
    caller's frame. The stack may hold anything: the walk follows at most MOST_FRAMES frames, upwards only.
    """
    frame = stack_pointer
    for _ in range(MOST_FRAMES):
        above = _pointer(read, frame)
        if above is None or not frame < above < end:
            return
        link = _pointer(read, above + _SAVED_LR)
        if link is None:
            return
        yield link
        frame = above


def _pointer(read: ReadMemory, address: int) -> int | None:
    if address % _POINTER_BYTES:
        return None
    data = read(address, _POINTER_BYTES)
    return None if data is None else int.from_bytes(data, "big")

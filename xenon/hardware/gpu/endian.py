"""The four endian modes of Xenos' memory clients (xenia xenos.h): how the bytes of a dword are permuted.

The GPU itself is little-endian: with mode NONE it takes a dword's first byte in memory as the lowest. Words
that a big-endian CPU has stored come out right in mode SWAP_8_IN_32.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]


class Endian(IntEnum):
    """Endian mode, as two bits of fetch constants, addresses and CP_RB_CNTL hold it."""

    NONE = 0
    SWAP_8_IN_16 = 1
    SWAP_8_IN_32 = 2
    SWAP_16_IN_32 = 3


_CHUNK_WORDS = 1 << 18  # at most 1 MiB of host memory beyond source and target


def swap_word(value: int, mode: int) -> int:
    """A dword permuted; twice gives the dword back."""
    if mode == Endian.SWAP_8_IN_32:
        return int.from_bytes(value.to_bytes(4, "little"), "big")
    if mode == Endian.SWAP_8_IN_16:
        return (value & 0x00FF_00FF) << 8 | (value & 0xFF00_FF00) >> 8
    if mode == Endian.SWAP_16_IN_32:
        return (value & 0xFFFF) << 16 | value >> 16
    return value


def read_word(bytes_: bytes | memoryview, mode: int) -> int:
    """The dword that four bytes of memory are."""
    return swap_word(int.from_bytes(bytes_, "little"), mode)


def word_bytes(value: int, mode: int) -> bytes:
    """The four bytes of memory that a dword becomes."""
    return swap_word(value, mode).to_bytes(4, "little")


_SWAPPED = np.dtype(np.uint32).newbyteorder()
_SWAPPED_HALF = np.dtype(np.uint16).newbyteorder()


def copy_words(target: Words, source: Words, mode: int) -> None:
    """Copy dwords permuted, between two arrays of the same length, either of them memory."""
    if mode == Endian.NONE:
        target[:] = source
    elif mode == Endian.SWAP_8_IN_32:
        target[:] = source.view(_SWAPPED)
    elif mode == Endian.SWAP_8_IN_16:
        target.view(np.uint16)[:] = source.view(_SWAPPED_HALF)
    else:
        for start in range(0, len(source), _CHUNK_WORDS):
            halves = source[start : start + _CHUNK_WORDS].view(np.uint16).reshape(-1, 2)
            target[start : start + _CHUNK_WORDS].view(np.uint16).reshape(-1, 2)[:] = halves[:, ::-1]

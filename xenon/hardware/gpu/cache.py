"""The GPU's read cache: host-ordered copies of lines of RAM, kept until the program invalidates them.

It shadows all of RAM in lazily committed host memory, so that an operand is one contiguous array wherever it
lies and costs host memory only where it was read. A line is 128 bytes and is held in one endian mode at a
time. What the GPU writes goes to RAM and, where the cache holds the line, into the cache; what a CPU writes
is not seen before an invalidation, as on the console.
"""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

from xenon.hardware.gpu.endian import Words, copy_words, read_word
from xenon.hardware.memory_map import CACHE_LINE_BYTES, RAM_BYTES, align_down, align_up
from xenon.hardware.pages import Pages
from xenon.host.memory import give_back

_WORD = 4
_LINE_WORDS = CACHE_LINE_BYTES // _WORD
_ABSENT = 255


class ReadCache:
    """Lines of RAM as the GPU sees them. Addresses are physical, in bytes; the caller keeps within RAM.

    `shadow` is zeroed memory as large as RAM. `generation` changes with every invalidation, and when a line
    changes its endian mode: as long as it stays, what has been fetched is still there.
    """

    def __init__(self, pages: Pages, shadow: mmap.mmap) -> None:
        memory = pages.memory
        self.generation = 0
        self._shadow = shadow
        self.memory = memory
        self.pages = pages
        self.ram: Words = np.frombuffer(memory.view, np.uint32)
        self.words: Words = np.frombuffer(self._shadow, np.uint32)
        self._modes: NDArray[np.uint8] = np.full(RAM_BYTES // CACHE_LINE_BYTES, _ABSENT, np.uint8)

    def fetch(self, address: int, words: int, mode: int) -> None:
        """Make sure that these dwords are in the cache in this endian mode."""
        first = address // CACHE_LINE_BYTES
        last = (address + words * _WORD - 1) // CACHE_LINE_BYTES + 1
        modes = self._modes[first:last]
        wrong = modes != mode
        if not wrong.any():
            return
        if bool((modes[wrong] != _ABSENT).any()):
            self.generation += 1
        edges = np.flatnonzero(np.diff(wrong.view(np.int8), prepend=0, append=0))
        for start, end in edges.reshape(-1, 2):
            self._load(first + int(start), first + int(end), mode)

    def store_bytes(self, address: int, data: bytes) -> None:
        """Write a few bytes, whole dwords, to RAM as the command processor does, past the cache: lines that
        are held follow."""
        self.memory.view[address : address + len(data)] = data
        for place in range(address, address + len(data), _WORD):
            mode = int(self._modes[place // CACHE_LINE_BYTES])
            if mode != _ABSENT:
                self.words[place // _WORD] = read_word(data[place - address :][:_WORD], mode)
        self.pages.written_by_device(address, len(data))

    def invalidate(self, address: int = 0, size: int = RAM_BYTES) -> None:
        """Forget the lines that share a byte with this range."""
        end = min(address + size, RAM_BYTES)
        if address >= end:
            return
        self.generation += 1
        self._modes[address // CACHE_LINE_BYTES : (end - 1) // CACHE_LINE_BYTES + 1] = _ABSENT
        first, last = align_up(address, mmap.PAGESIZE), align_down(end, mmap.PAGESIZE)
        give_back(self._shadow, first, last)

    def _load(self, first: int, last: int, mode: int) -> None:
        """Read lines from RAM."""
        words = slice(first * _LINE_WORDS, last * _LINE_WORDS)
        copy_words(self.words[words], self.ram[words], mode)
        self._modes[first:last] = mode

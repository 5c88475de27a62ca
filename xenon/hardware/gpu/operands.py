"""What a draw works on: arrays by fetch constants (xenia xenos.h), numbers by float and loop constants."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from xenon.hardware.gpu.cache import ReadCache
from xenon.hardware.gpu.endian import Words, copy_words
from xenon.hardware.gpu.errors import PacketError
from xenon.hardware.gpu.limits import MOST_FETCH_WORDS
from xenon.hardware.gpu.registers import (
    FETCH_CONSTANTS,
    FLOAT_CONSTANTS,
    LOOP_CONSTANTS,
)
from xenon.hardware.memory_map import CACHE_LINE_BYTES, RAM_BYTES, WORD_BYTES, align_down

Floats = NDArray[np.float32]

MOST_VECTOR_WORDS = 1 << 20
"""Of an operand that is computed with as a whole. Matrices may be as large as a fetch constant can say."""
_VERTEX_FETCH = 3


class Operand:
    """An array in RAM, seen through the cache."""

    __slots__ = (
        "_cache",
        "_changes",
        "_count",
        "_generation",
        "_has_code",
        "_held",
        "_pages",
        "_ram",
        "address",
        "floats",
        "mode",
        "name",
        "words",
    )

    def __init__(self, cache: ReadCache, name: str, address: int, count: int, mode: int) -> None:
        place = slice(address // WORD_BYTES, address // WORD_BYTES + count)
        self._cache = cache
        self._count = count
        self._generation = -1
        self._held = 0  # words from the start on that are in the cache in this generation
        self._pages = cache.pages
        self._changes = -1  # of the pages' rights, when it was last looked whether there is code
        self._has_code = False
        self._ram = cache.ram[place]
        self.name = name
        self.address = address
        self.mode = mode
        self.words: Words = cache.words[place]
        self.floats: Floats = self.words.view(np.float32)

    @property
    def end(self) -> int:
        return self.address + self._count * WORD_BYTES

    def read(self) -> Floats:
        """All of it, host-ordered."""
        if self._generation != self._cache.generation or self._held != self._count:
            self.hold(self._count)
        return self.floats

    def hold(self, count: int) -> None:
        """Have the first `count` words in the cache."""
        if self._generation != self._cache.generation:
            self._held = 0
        if count > self._held:
            self._cache.fetch(self.address + self._held * WORD_BYTES, count - self._held, self.mode)
            self._held = count
            self._generation = self._cache.generation

    def part(self, first: int, count: int) -> Floats:
        """`count` words from word `first` on, host-ordered."""
        self._cache.fetch(self.address + first * WORD_BYTES, count, self.mode)
        return self.floats[first : first + count]

    def write(self, values: Floats) -> None:
        """Replace all of it, in the cache and in RAM."""
        self.read()[:] = values
        copy_words(self._ram, self.words, self.mode)
        if self._changes != self._pages.changes or self._has_code:
            self._report(0, self._count)

    def write_word(self, value: int) -> None:
        """Replace its first word, an integer."""
        self.read()
        self.words[0] = value
        copy_words(self._ram[:1], self.words[:1], self.mode)
        if self._changes != self._pages.changes or self._has_code:
            self._report(0, 1)

    def write_part(self, first: int, values: Floats) -> None:
        """Replace some of it, from word `first` on."""
        end = first + len(values)
        self.hold(end)
        self.floats[first:end] = values
        copy_words(self._ram[first:end], self.words[first:end], self.mode)
        if self._changes != self._pages.changes or self._has_code:
            self._report(first, len(values))

    def _report(self, first: int, count: int) -> None:
        """Words have been written to RAM: there may be code."""
        self._changes = self._pages.changes
        self._has_code = self._pages.may_be_executed(self.address, self._count * WORD_BYTES)
        self._pages.written_by_device(self.address + first * WORD_BYTES, count * WORD_BYTES)


class Binder:
    """Reads the constants of one draw, checks them and turns them into operands."""

    def __init__(self, registers: Sequence[int], cache: ReadCache) -> None:
        self._registers = registers
        self._cache = cache
        self._operands: list[Operand] = []

    def shape(self, index: int, name: str, most: int = MOST_FETCH_WORDS) -> int:
        """Loop constant `index`, a count of something. Raises PacketError outside 1 to `most`."""
        value = self._registers[LOOP_CONSTANTS + index]
        if not 1 <= value <= most:
            raise PacketError(f"i{index} ({name}) is {value}, expected 1 to {most}")
        return value

    def vector(self, index: int, name: str, words: int) -> Operand:
        """The operand in fetch constant `index`, of at most MOST_VECTOR_WORDS."""
        return self.vectors(index, name, 1, words)

    def is_set(self, index: int) -> bool:
        """Whether loop constant `index` is anything but 0, which it is at first."""
        return self._registers[LOOP_CONSTANTS + index] != 0

    def vectors(self, index: int, name: str, count: int, words: int, apart: int | None = None) -> Operand:
        """The operand in fetch constant `index`: `count` vectors, each `apart` words behind the last one, or
        directly."""
        if words > MOST_VECTOR_WORDS:
            raise PacketError(f"vf{index} ({name}): {words} words, expected at most {MOST_VECTOR_WORDS}")
        return self.matrix(index, name, (count - 1) * (words if apart is None else apart) + words)

    def matrix(self, index: int, name: str, words: int) -> Operand:
        """The operand of `words` words in fetch constant `index`.

        Raises PacketError when the constant is none, says fewer words, or leaves RAM.
        """
        first, second = self._registers[FETCH_CONSTANTS + 2 * index : FETCH_CONSTANTS + 2 * index + 2]
        place = f"vf{index} ({name})"
        if first & 3 != _VERTEX_FETCH:
            raise PacketError(f"{place}: 0x{first:08x} is no vertex fetch constant: bits 1-0 are not 3")
        address, size = first & ~3, second >> 2 & MOST_FETCH_WORDS
        if size < words:
            raise PacketError(f"{place}: {size} words, the program needs {words}")
        if address + words * WORD_BYTES > RAM_BYTES:
            raise PacketError(f"{place}: 0x{address:08x} to 0x{address + words * WORD_BYTES:08x} leaves RAM")
        operand = Operand(self._cache, place, address, words, second & 3)
        self._operands.append(operand)
        return operand

    def check_modes(self) -> None:
        """Raises PacketError where two operands share a cache line in different modes: it would have to be
        there twice."""
        for first, second in combinations(self._operands, 2):
            apart = first.end <= align_down(second.address, CACHE_LINE_BYTES) or second.end <= align_down(
                first.address, CACHE_LINE_BYTES
            )
            if first.mode != second.mode and not apart:
                raise PacketError(
                    f"{first.name} and {second.name} share a cache line in different endian modes"
                )


def index_constant(registers: Sequence[int], index: int, name: str, end: int) -> int:
    """Loop constant `index`, which changes from draw to draw. Raises PacketError outside 0 to end - 1."""
    value = registers[LOOP_CONSTANTS + index]
    if value >= end:
        raise PacketError(f"i{index} ({name}) is {value}, expected 0 to {end - 1}")
    return value


def positive_float(registers: Sequence[int], index: int, name: str) -> float:
    """The x component of float constant `index`. Raises PacketError unless it is positive and finite."""
    (value,) = struct.unpack("<f", struct.pack("<I", registers[FLOAT_CONSTANTS + 4 * index]))
    if not (value > 0 and math.isfinite(value)):
        raise PacketError(f"c{index}.x ({name}) is {value:g}, expected a positive number")
    return float(value)

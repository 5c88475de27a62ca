"""Code as instruction words; without NumPy, which takes longer to import than a short program to run."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Container
from functools import lru_cache
from itertools import compress
from typing import Protocol

WORD_BYTES = 4
LOWEST = 0x7FF
"""The lowest bits of a word, which most forms are told by."""
KEYS = 64 * (LOWEST + 1)


def key_of(word: int) -> int:
    """Primary opcode and lowest bits of a word."""
    return word >> 26 << 11 | word & LOWEST


class Words(Container[object], Protocol):
    """A set of instruction words."""

    def likely(self) -> bytes:
        """For each key, 1 where a word that has it may be a member, else 0."""


def words_of(code: bytes | memoryview) -> array[int]:
    """The words of big-endian code, whose length is a multiple of a word's."""
    words = array("I")
    words.frombytes(code)
    if sys.byteorder == "little":
        words.byteswap()
    return words


def is_blank(code: bytes) -> bool:
    """Whether memory holds no code yet, zeros alone: quick."""
    return code == bytes(len(code))


def indices_of(sets: tuple[Words, ...], code: bytes) -> list[int]:
    """Which words of big-endian code are members of one of the sets."""
    likely = _likely(sets)
    if not likely[key_of(0)] and is_blank(code):
        return []
    words = words_of(code)
    candidates = list(compress(range(len(words)), map(likely.__getitem__, _keys_of(code))))
    different = {words[index] for index in candidates}
    members = {word for word in different if any(word in known for known in sets)}
    return [index for index in candidates if words[index] in members]


def _keys_of(code: bytes) -> array[int]:
    """The key of each word: computed as one long number, three times as fast as word by word."""
    count = len(code) // WORD_BYTES
    number = int.from_bytes(code, "big")
    opcodes = number >> 15 & int.from_bytes((0x3F << 11).to_bytes(WORD_BYTES, "big") * count, "big")
    lowest = number & int.from_bytes(LOWEST.to_bytes(WORD_BYTES, "big") * count, "big")
    return words_of((opcodes | lowest).to_bytes(len(code), "big"))


@lru_cache(maxsize=4)
def _likely(sets: tuple[Words, ...]) -> bytes:
    merged = 0
    for known in sets:
        merged |= int.from_bytes(known.likely(), "little")
    return merged.to_bytes(KEYS, "little")

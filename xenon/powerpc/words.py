"""Code as instruction words; without NumPy, which takes longer to import than a short program to run."""

from __future__ import annotations

import sys
from array import array


def words_of(code: bytes | memoryview) -> array[int]:
    """The words of big-endian code, whose length is a multiple of a word's."""
    words = array("I")
    words.frombytes(code)
    if sys.byteorder == "little":
        words.byteswap()
    return words

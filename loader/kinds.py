"""The enumerations of the loader: byte order and file format.

Source: llama2.c, `export.py` (versions 0, 1 and 2) and its readers `run.c` and `runq.c`.
"""

from __future__ import annotations

from enum import Enum


class ByteOrder(Enum):
    """Which end of a 32-bit item comes first in the file."""

    LITTLE = "little"
    BIG = "big"

    @property
    def mark(self) -> str:
        """The prefix that `struct` and numpy give this order: `<` or `>`."""
        return "<" if self is ByteOrder.LITTLE else ">"

    @property
    def short(self) -> str:
        """The two letters used in file names: `le` or `be`."""
        return "le" if self is ByteOrder.LITTLE else "be"

    def __str__(self) -> str:
        return f"{self.value}-endian"


class Format(Enum):
    """The version of a checkpoint, as llama2.c's `export.py --version` counts them."""

    V0 = 0
    V1 = 1
    V2 = 2

    def __str__(self) -> str:
        return f"v{self.value}"

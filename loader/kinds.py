"""The enumerations of the loader: byte order, file format, and the table of tensor types.

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


class DType(Enum):
    """A tensor type: its name, and the size in bytes of the item whose bytes swap (1: nothing swaps)."""

    F32 = ("f32", 4)
    I8 = ("i8", 1)

    def __init__(self, label: str, item_size: int) -> None:
        self.label = label
        self.item_size = item_size

    def numpy(self, order: ByteOrder) -> str:
        """The numpy type of this tensor type in a file of that byte order, such as `>f4`."""
        return f"{order.mark}f4" if self is DType.F32 else "i1"

    def __str__(self) -> str:
        return self.label

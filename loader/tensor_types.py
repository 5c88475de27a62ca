"""The tensor types: how many items and bytes a block has, and which of its bytes swap.

A type is a row. Its block is the least run of items that can be read alone. Source of the layouts: llama2.c
`export.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from loader.kinds import ByteOrder


@dataclass(frozen=True)
class TensorType:
    """A tensor type: its label, the items and the bytes of a block, and the numbers in a block that swap.

    `swaps` has (offset in the block, width) in bytes of each such number, of width 2, 4 or 8; a number of one
    byte has no order. `code` is the numpy type of a block, with `=` where the byte order goes.
    """

    label: str
    block_items: int
    block_bytes: int
    swaps: tuple[tuple[int, int], ...]
    code: str

    def nbytes(self, count: int) -> int:
        """Bytes of `count` items, which are whole blocks."""
        return count // self.block_items * self.block_bytes

    def numpy(self, order: ByteOrder) -> str:
        """The numpy type of a block in a file of that byte order, such as `>f4`."""
        return self.code.replace("=", order.mark)

    def swaps_as(self, other: TensorType) -> bool:
        """Whether the same bytes of any run of whole blocks swap as if it were of the other type."""
        return self.swaps == other.swaps and (not self.swaps or self.block_bytes == other.block_bytes)

    def __str__(self) -> str:
        return self.label


F32 = TensorType("f32", 1, 4, ((0, 4),), "=f4")
I8 = TensorType("i8", 1, 1, (), "i1")
# Of headers and tokenizers.
I32 = TensorType("i32", 1, 4, ((0, 4),), "=i4")
U8 = TensorType("u8", 1, 1, (), "u1")

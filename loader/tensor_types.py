"""The tensor types: how many items and bytes a block has, which of its bytes swap, and what its items are.

A type is a row. Its block is the least run of items that can be read alone. Source of the layouts: llama2.c
`export.py`; ggml's `ggml-common.h` for the types that have a number of ggml's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from loader import dequantise
from loader.kinds import ByteOrder

if TYPE_CHECKING:
    import numpy as np


class Plane(NamedTuple):
    """A part of every block of a type, laid out apart from the others: `items` items of `type` from a block.

    `suffix` follows the name of the tensor. `fields` are the block's fields that it consists of, in order.
    """

    suffix: str
    type: TensorType
    items: int
    fields: tuple[str, ...]


@dataclass(frozen=True)
class TensorType:
    """A tensor type: its label, the items and the bytes of a block, and the numbers in a block that swap.

    `swaps` has (offset in the block, width) in bytes of each such number, of width 2, 4 or 8; a number of one
    byte has no order. `code` is the numpy type of a block, with `=` where the byte order goes. `number` is
    ggml's for the type. `dequantise` makes float32 items of an array of blocks in any byte order. `planes`
    are the parts of a block that a console's file keeps apart.
    """

    label: str
    block_items: int
    block_bytes: int
    swaps: tuple[tuple[int, int], ...]
    code: str
    number: int | None = None
    dequantise: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]] | None = None
    planes: tuple[Plane, ...] = ()

    def nbytes(self, count: int) -> int:
        """Bytes of `count` items, which are whole blocks."""
        return count // self.block_items * self.block_bytes

    @property
    def parts(self) -> tuple[Plane, ...]:
        """The planes of a tensor in a console's file; none if the type does not occur there."""
        return self.planes or ((Plane("", self, 1, ()),) if self.block_items == 1 else ())

    def numpy(self, order: ByteOrder) -> str:
        """The numpy type of a block in a file of that byte order, such as `>f4`."""
        return self.code.replace("=", order.mark)

    def swaps_as(self, other: TensorType) -> bool:
        """Whether the same bytes of any run of whole blocks swap as if it were of the other type."""
        return self.swaps == other.swaps and (not self.swaps or self.block_bytes == other.block_bytes)

    def __str__(self) -> str:
        return self.label


I8 = TensorType("i8", 1, 1, (), "i1")
# Of headers and tokenizers.
I32 = TensorType("i32", 1, 4, ((0, 4),), "=i4")
U8 = TensorType("u8", 1, 1, (), "u1")
# Of metadata in GGUF, and parts of the blocks below.
U16 = TensorType("u16", 1, 2, ((0, 2),), "=u2")
U64 = TensorType("u64", 1, 8, ((0, 8),), "=u8")
NIBBLES = TensorType("u4", 32, 16, (), "(16,)u1")  # low half of byte j: item j; high half: item j + 16
BITS = TensorType("u1", 32, 4, ((0, 4),), "=u4")  # bit j: item j

F32 = TensorType("f32", 1, 4, ((0, 4),), "=f4", 0, dequantise.f32)
F16 = TensorType("f16", 1, 2, ((0, 2),), "=f2", 1, dequantise.f16)
BF16 = TensorType("bf16", 1, 2, ((0, 2),), "=u2", 30, dequantise.bf16)

_SCALES = Plane(".scales", F16, 1, ("f0",))
_PAIRS = Plane(".scales", F16, 2, ("f0", "f1"))
Q4_0 = TensorType(
    "q4_0", 32, 18, ((0, 2),), "=f2,(16,)u1", 2, dequantise.q4_0, (_SCALES, Plane("", NIBBLES, 32, ("f1",)))
)
Q4_1 = TensorType(
    "q4_1",
    32,
    20,
    ((0, 2), (2, 2)),
    "=f2,=f2,(16,)u1",
    3,
    dequantise.q4_1,
    (_PAIRS, Plane("", NIBBLES, 32, ("f2",))),
)
# ggml reads the four bytes of high bits as one uint32: they swap as one.
Q5_0 = TensorType(
    "q5_0",
    32,
    22,
    ((0, 2), (2, 4)),
    "=f2,=u4,(16,)u1",
    6,
    dequantise.q5_0,
    (_SCALES, Plane(".high_bits", BITS, 32, ("f1",)), Plane("", NIBBLES, 32, ("f2",))),
)
Q5_1 = TensorType(
    "q5_1",
    32,
    24,
    ((0, 2), (2, 2), (4, 4)),
    "=f2,=f2,=u4,(16,)u1",
    7,
    dequantise.q5_1,
    (_PAIRS, Plane(".high_bits", BITS, 32, ("f2",)), Plane("", NIBBLES, 32, ("f3",))),
)
Q8_0 = TensorType(
    "q8_0", 32, 34, ((0, 2),), "=f2,(32,)i1", 8, dequantise.q8_0, (_SCALES, Plane("", I8, 32, ("f1",)))
)
Q4_K = TensorType("q4_k", 256, 144, ((0, 2), (2, 2)), "=f2,=f2,(12,)u1,(128,)u1", 12, dequantise.q4_k)
Q5_K = TensorType("q5_k", 256, 176, ((0, 2), (2, 2)), "=f2,=f2,(12,)u1,(32,)u1,(128,)u1", 13, dequantise.q5_k)
Q6_K = TensorType("q6_k", 256, 210, ((208, 2),), "(128,)u1,(64,)u1,(16,)i1,=f2", 14, dequantise.q6_k)

GGML_TYPES: dict[int, TensorType] = {
    type.number: type
    for type in (F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, BF16)
    if type.number is not None
}
"""The tensor types of GGUF files, by ggml's number."""

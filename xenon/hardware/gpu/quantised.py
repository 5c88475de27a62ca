"""Matrices of other types than float32, as the programs see them: planes, and what items they hold.

A matrix (d, n) is one to three planes, each (d, bytes of a row). Layouts are those of docs/formats.md; block
b has `block` items of a row. Loop constant i3 is `block`, i4 and following are the bytes of a row of each
plane, multiples of 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xenon.hardware.gpu.errors import PacketError
from xenon.hardware.gpu.operands import Binder, Operand
from xenon.hardware.memory_map import WORD_BYTES

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

BLOCK, FIRST_ROW_BYTES = 3, 4  # loop constants


@dataclass(frozen=True, slots=True)
class Quantised:
    """A type: its name, the bytes of a block and of an item besides in each plane, the items of a block (0:
    any number), and what makes floats (rows, n) of rows of the planes."""

    name: str
    planes: tuple[tuple[int, int], ...]
    block: int
    floats: Callable[[list[Bytes], int, int], Floats]


class Matrix:
    """The planes of a matrix (rows, n) in fetch constants from `first` on."""

    def __init__(self, binder: Binder, type: Quantised, first: int, rows: int, n: int) -> None:
        self._type = type
        self._n = n
        self._block = binder.shape(BLOCK, "items of a block")
        if n % self._block or type.block not in (0, self._block):
            wanted = f"{type.block or 'a divisor of n'}"
            raise PacketError(f"i3 (items of a block) is {self._block}, expected {wanted} for n {n}")
        self._planes: list[tuple[Operand, int]] = []
        for number, (of_block, of_item) in enumerate(type.planes):
            constant = FIRST_ROW_BYTES + number
            row = binder.shape(constant, "bytes of a row")
            needed = n // self._block * of_block + n * of_item
            if row < needed or row % WORD_BYTES:
                raise PacketError(
                    f"i{constant} (bytes of a row) is {row}, expected a multiple of 4 from {needed} on"
                )
            words = rows * row // WORD_BYTES
            self._planes.append((binder.matrix(first + number, f"plane {number}", words), row))

    def rows(self, start: int, end: int) -> Floats:
        """Rows `start` up to `end`, as floats."""
        parts = []
        for operand, row in self._planes:
            words = operand.part(start * row // WORD_BYTES, (end - start) * row // WORD_BYTES)
            parts.append(words.view(np.uint8).reshape(end - start, row))
        return self._type.floats(parts, self._n, self._block)


def _f16(planes: list[Bytes], n: int, _: int) -> Floats:
    return _numbers(planes[0], np.float16, n).astype(np.float32)


def _bf16(planes: list[Bytes], n: int, _: int) -> Floats:
    upper = _numbers(planes[0], np.uint16, n).astype(np.uint32)
    return (upper << np.uint32(16)).view(np.float32)


def _numbers(plane: Bytes, type: type[np.generic], count: int) -> NDArray[np.generic]:
    return plane.view(type)[:, :count]


def _int8(planes: list[Bytes], n: int, block: int) -> Floats:
    values, scales = planes
    d = _numbers(scales, np.float32, n // block).astype(np.float32)
    return _scaled(_numbers(values, np.int8, n).astype(np.float32), d)


def _q8_0(planes: list[Bytes], n: int, block: int) -> Floats:
    scales, values = planes
    d = _numbers(scales, np.float16, n // block).astype(np.float32)
    return _scaled(_numbers(values, np.int8, n).astype(np.float32), d)


def _scaled(q: Floats, d: Floats, m: Floats | None = None) -> Floats:
    blocks = q.reshape(*d.shape, -1) * d[:, :, None]
    if m is not None:
        blocks += m[:, :, None]
    return blocks.reshape(len(q), -1)


def _of_nibbles(pairs: bool, high: bool, offset: int) -> Callable[[list[Bytes], int, int], Floats]:
    """What makes floats of a type with 32 integers of 4 or 5 bits in a block."""

    def floats(planes: list[Bytes], n: int, block: int) -> Floats:
        blocks, rows = n // block, len(planes[0])
        scales = _numbers(planes[0], np.float16, blocks * (1 + pairs)).astype(np.float32)
        both = planes[-1][:, : n // 2].reshape(rows, blocks, block // 2)
        q = np.concatenate([both & 15, both >> 4], axis=2).astype(np.float32)
        if high:
            bits = _numbers(planes[1], np.uint32, blocks).astype(np.uint32)[:, :, None]
            q += (bits >> np.arange(block, dtype=np.uint32) & np.uint32(1)) * np.float32(16)
        q = (q - np.float32(offset)).reshape(rows, n)
        return _scaled(q, scales[:, 0::2], scales[:, 1::2]) if pairs else _scaled(q, scales)

    return floats


TYPES: Sequence[Quantised] = (
    Quantised("f16", ((0, 2),), 1, _f16),
    Quantised("bf16", ((0, 2),), 1, _bf16),
    Quantised("q4_0", ((2, 0), (16, 0)), 32, _of_nibbles(pairs=False, high=False, offset=8)),
    Quantised("q4_1", ((4, 0), (16, 0)), 32, _of_nibbles(pairs=True, high=False, offset=0)),
    Quantised("q5_0", ((2, 0), (4, 0), (16, 0)), 32, _of_nibbles(pairs=False, high=True, offset=16)),
    Quantised("q5_1", ((4, 0), (4, 0), (16, 0)), 32, _of_nibbles(pairs=True, high=True, offset=0)),
    Quantised("q8_0", ((2, 0), (0, 1)), 32, _q8_0),
    Quantised("int8", ((0, 1), (4, 0)), 0, _int8),
)
"""The types that programs compute with, by the guest's names."""

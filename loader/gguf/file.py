"""A GGUF file: its metadata, its tensors, and its image in either byte order.

"GGUF" stays as it is in both orders; the version that follows tells which one it is.
"""

from __future__ import annotations

import struct
from math import prod
from typing import TYPE_CHECKING, Any

from loader.blocks import read_blocks
from loader.errors import LoaderError
from loader.gguf.cursor import DAMAGED, Cursor
from loader.gguf.metadata import Entry, Metadata, ValueType
from loader.image import Image, Segment, swap_numbers
from loader.kinds import ByteOrder
from loader.layout import Tensor, aligned
from loader.printable import printable
from loader.source import Source
from loader.tensor_types import GGML_TYPES, U8

if TYPE_CHECKING:
    import numpy as np

VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 1 << 20
ALIGNMENT_KEY = "general.alignment"
MAX_DIMENSIONS = 4
LONGEST_KEY = 65535
LONGEST_NAME = 64
_LEAST_ENTRY = 14  # bytes: a length, a letter, a type and a value
_LEAST_TENSOR = 33  # a length, a letter, n_dims, a dimension, a type and an offset
# ggml's other types, to call them by their names.
_OTHER_TYPES = {
    **{
        9: "Q8_1",
        10: "Q2_K",
        11: "Q3_K",
        15: "Q8_K",
        16: "IQ2_XXS",
        17: "IQ2_XS",
        18: "IQ3_XXS",
        19: "IQ1_S",
    },
    **{20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64"},
    **{28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4"},
}


class Gguf:
    """An open GGUF file. Its metadata has been read and checked, and where its tensors are."""

    def __init__(self, source: Source, order: ByteOrder, version: int) -> None:
        self.source = source
        self.path = source.path
        self.size = source.size
        self.byte_order = order
        self.version = version
        self._cursor = cursor = Cursor(source, order)
        cursor.number(ValueType.UINT32, "the version")
        tensor_count = cursor.count("tensors", _LEAST_TENSOR)
        entries, self._spans = _entries(cursor, cursor.count("metadata keys", _LEAST_ENTRY))
        self.metadata = Metadata(self.path, cursor.data, order, entries)
        self.alignment = self._alignment()
        rows = [_tensor_row(cursor, self.alignment) for _ in range(tensor_count)]
        self._head = cursor.position
        self.tensors = self._placed(rows)
        self._by_name = {tensor.name: tensor for tensor in self.tensors}

    def tensor(self, name: str) -> Tensor:
        """The row of the tensor called `name`; raises LoaderError if there is none."""
        if name not in self._by_name:
            raise LoaderError(
                f"{self.path}: no tensor called {name}", "the file is incomplete; fetch or make it again"
            )
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def array(self, name: str) -> np.ndarray[Any, np.dtype[Any]]:
        """A tensor's blocks, in the file's byte order. Raises LoaderError if they cannot be read."""
        return read_blocks(self.source, self.tensor(name), self.byte_order)

    def image(self, byte_order: ByteOrder) -> Image:
        """The file in `byte_order`: what stands between the tensors stays as it is."""
        swap = byte_order is not self.byte_order
        head = self._head_in(byte_order)
        segments = [Segment(len(head), U8, head)]
        end = self._head
        for tensor in sorted(self.tensors, key=lambda tensor: tensor.offset):
            segments += [
                Segment(tensor.offset - end, U8, end),
                Segment(tensor.nbytes, tensor.type, tensor.offset),
            ]
            end = tensor.offset + tensor.nbytes
        segments.append(Segment(self.size - end, U8, end))
        return Image(self.source, segments, swap)

    def pairs(self, byte_order: ByteOrder) -> dict[str, bytes]:
        """Each key's bytes in a file of that byte order: its length, the key, type and value."""
        head = self._head_in(byte_order)
        return {key: head[start:stop] for key, (start, stop) in self._spans.items()}

    def _head_in(self, byte_order: ByteOrder) -> bytes:
        """What stands before the tensors."""
        head = self._cursor.data[: self._head]
        for offsets, width in self._cursor.swaps() if byte_order is not self.byte_order else ():
            head = swap_numbers(head, offsets, width)
        return head

    def check_unchanged(self) -> None:
        """Raises LoaderError if the file has changed since it was opened."""
        self.source.check_unchanged()

    def close(self) -> None:
        """Close the file."""
        self.source.close()

    def _alignment(self) -> int:
        entry = self.metadata.entries.get(ALIGNMENT_KEY)
        if entry is None:
            return DEFAULT_ALIGNMENT
        if entry.type is not ValueType.UINT32:
            raise self._cursor.fault(entry.offset, f"{ALIGNMENT_KEY} is {entry}, expected uint32")
        value = self.metadata.integer(ALIGNMENT_KEY)
        if not 8 <= value <= MAX_ALIGNMENT or value & value - 1:
            raise self._cursor.fault(
                entry.offset, f"{ALIGNMENT_KEY} {value}, expected a power of two from 8 to {MAX_ALIGNMENT}"
            )
        return value

    def _placed(self, rows: list[tuple[Tensor, int]]) -> tuple[Tensor, ...]:
        """The tensors with offsets in the file; all are within it, and none overlaps another."""
        start = aligned(self._head, self.alignment)
        names: set[str] = set()
        placed: list[tuple[Tensor, int]] = []
        for row, place in rows:
            if row.name in names:
                raise self._cursor.fault(place, f"a second tensor called {printable(row.name)}")
            names.add(row.name)
            offset = start + row.offset
            if offset + row.nbytes > self.size:
                raise LoaderError(
                    f"{self.path}: truncated in {printable(row.name)}: found {self.size} bytes, expected at"
                    f" least {offset + row.nbytes}",
                    "the copy or download stopped early; fetch the file again",
                )
            placed.append((Tensor(row.name, row.shape, row.type, offset, row.nbytes), place))
        end = self._head
        for tensor, place in sorted(placed, key=lambda pair: pair[0].offset):
            if tensor.offset < end:
                raise self._cursor.fault(place, f"{printable(tensor.name)} overlaps another tensor")
            end = tensor.offset + tensor.nbytes
        if self.size > aligned(end, self.alignment):
            raise LoaderError(
                f"{self.path}: byte {end}: {self.size - end} extra bytes, expected the file to end here",
                DAMAGED,
            )
        return tuple(tensor for tensor, _ in placed)


def open_gguf(source: Source) -> Gguf:
    """Read a GGUF file up to its tensors; closes it on an error, which is a LoaderError."""
    try:
        head = source.read(0, 8)
        if len(head) < 8:
            raise LoaderError(
                f"{source.path}: truncated in the header: found {len(head)} bytes, expected at least 24",
                "the copy or download stopped early; fetch the file again",
            )
        for order in ByteOrder:
            version = struct.unpack_from(f"{order.mark}I", head, 4)[0]
            if version in VERSIONS:
                return Gguf(source, order, version)
        readings = sorted(struct.unpack_from(f"{order.mark}I", head, 4)[0] for order in ByteOrder)
        raise LoaderError(
            f"{source.path}: byte 4: GGUF version {readings[0]}, expected 2 or 3",
            "a newer llama.cpp reads and rewrites old files" if readings[0] == 1 else DAMAGED,
        )
    except BaseException:
        source.close()
        raise


def _entries(cursor: Cursor, count: int) -> tuple[dict[str, Entry], dict[str, tuple[int, int]]]:
    """The values by their keys, and from where to where each stands in the file, with its key."""
    entries: dict[str, Entry] = {}
    spans: dict[str, tuple[int, int]] = {}
    for _ in range(count):
        place = cursor.position
        raw = cursor.string("a metadata key", LONGEST_KEY)
        key = printable(raw, LONGEST_KEY)
        if key in entries:
            raise cursor.fault(place, f"a second metadata key {printable(raw)}")
        entries[key] = cursor.value(printable(raw))
        spans[key] = place, cursor.position
    return entries, spans


def _tensor_row(cursor: Cursor, alignment: int) -> tuple[Tensor, int]:
    """A row of the tensor table, and where it stands; the offset is that behind the start of the data."""
    place = cursor.position
    name = printable(cursor.string("a tensor's name", LONGEST_NAME), LONGEST_NAME)
    shown = printable(name)
    start = cursor.position
    n_dims = cursor.number(ValueType.UINT32, f"the dimensions of {shown}")
    if not 1 <= n_dims <= MAX_DIMENSIONS:
        raise cursor.fault(start, f"{shown} has {n_dims} dimensions, expected 1 to {MAX_DIMENSIONS}")
    start = cursor.position
    shape = [cursor.number(ValueType.UINT64, f"the dimensions of {shown}") for _ in range(n_dims)][::-1]
    if not all(shape) or prod(shape) >= 1 << 63:
        raise cursor.fault(start, f"{shown} is {' x '.join(map(str, shape))}, expected 1 to 2^63 - 1 items")
    start = cursor.position
    number = cursor.number(ValueType.UINT32, f"the type of {shown}")
    type = GGML_TYPES.get(number)
    if type is None:
        known = ", ".join(sorted(str(row) for row in GGML_TYPES.values()))
        named = f" ({_OTHER_TYPES[number]})" if number in _OTHER_TYPES else ""
        raise LoaderError(
            f"{cursor.path}: byte {start}: {shown} has tensor type {number}{named}, expected {known}",
            "quantise the model to a type of this list",
        )
    if shape[-1] % type.block_items:
        raise cursor.fault(
            start,
            f"{shown} has rows of {shape[-1]} items, expected a multiple of {type.block_items} for {type}",
        )
    start = cursor.position
    offset = cursor.number(ValueType.UINT64, f"the offset of {shown}")
    if offset % alignment:
        raise cursor.fault(start, f"offset {offset} of {shown}, expected a multiple of {alignment}")
    return Tensor(name, tuple(shape), type, offset, type.nbytes(prod(shape))), place

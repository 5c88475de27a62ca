"""A safetensors file: its table of tensors, every entry checked, and its tensors. Always little-endian."""

from __future__ import annotations

import struct
from math import prod
from typing import TYPE_CHECKING, Any

from loader.beginnings import SAFETENSORS_LENGTH
from loader.blocks import read_blocks
from loader.errors import LoaderError
from loader.image import Image, Segment
from loader.json_file import MAX_JSON, JsonObject, parse_object
from loader.kinds import ByteOrder
from loader.layout import Tensor
from loader.printable import printable
from loader.source import Source
from loader.tensor_types import BF16, F16, F32, U8, TensorType

if TYPE_CHECKING:
    import numpy as np

TYPES: dict[str, TensorType] = {"F32": F32, "F16": F16, "BF16": BF16}
METADATA = "__metadata__"
_MOST_DIMENSIONS = 8
_DAMAGED = "the file is damaged; fetch it again"


class Safetensors:
    """An open safetensors file. Its table has been read, its tensors have not."""

    byte_order = ByteOrder.LITTLE

    def __init__(self, source: Source) -> None:
        """Read the table; raises LoaderError for one that is no table, or that lies."""
        self.source = source
        self.path = source.path
        self.size = source.size
        self._header = self._read_header()
        self._start = SAFETENSORS_LENGTH + self._header_bytes
        self.tensors = self._checked([self._tensor(name) for name in self._header.values if name != METADATA])
        self._by_name = {tensor.name: tensor for tensor in self.tensors}

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def tensor(self, name: str) -> Tensor:
        """The row of the tensor called `name`; raises LoaderError if there is none."""
        if name not in self._by_name:
            raise LoaderError(f"{self.path}: no tensor called {printable(name)}", "the file is incomplete")
        return self._by_name[name]

    def array(self, name: str) -> np.ndarray[Any, np.dtype[Any]]:
        """A tensor's items, little-endian. Raises LoaderError if they cannot be read."""
        return read_blocks(self.source, self.tensor(name), self.byte_order)

    def image(self, byte_order: ByteOrder) -> Image:
        """The file with the tensors in `byte_order`, for checksums; such a file has no reader."""
        segments = [Segment(self._start, U8, 0)]
        rows = sorted(self.tensors, key=lambda row: row.offset)
        segments += [Segment(tensor.nbytes, tensor.type, tensor.offset) for tensor in rows]
        return Image(self.source, segments, byte_order is not self.byte_order)

    def close(self) -> None:
        """Close the file."""
        self.source.close()

    def _read_header(self) -> JsonObject:
        head = self.source.read(0, SAFETENSORS_LENGTH)
        if len(head) < SAFETENSORS_LENGTH:
            raise LoaderError(
                f"{self.path}: truncated in the header: found {len(head)} bytes,"
                f" expected at least {SAFETENSORS_LENGTH}"
            )
        (self._header_bytes,) = struct.unpack("<Q", head)
        left = self.size - SAFETENSORS_LENGTH
        if self._header_bytes > left:
            raise LoaderError(
                f"{self.path}: byte 0: a header of {self._header_bytes} bytes, but the file ends {left} bytes"
                " later",
                _DAMAGED,
            )
        if self._header_bytes > MAX_JSON:
            raise LoaderError(
                f"{self.path}: byte 0: a header of {self._header_bytes} bytes, expected at most {MAX_JSON}"
            )
        return parse_object(
            self.path, self.source.read(SAFETENSORS_LENGTH, self._header_bytes), SAFETENSORS_LENGTH
        )

    def _tensor(self, name: str) -> Tensor:
        entry, shown = self._header.inner(name), printable(name)
        dtype = entry.text("dtype")
        type = TYPES.get(dtype)
        if type is None:
            raise LoaderError(
                f"{self.path}: {shown} has dtype {printable(dtype)}, expected {', '.join(TYPES)}"
            )
        shape, offsets = entry.integers("shape"), entry.integers("data_offsets")
        if len(shape) > _MOST_DIMENSIONS or any(size < 1 for size in shape):
            raise LoaderError(f"{self.path}: {shown} has shape {_shown(shape)}, expected sizes of at least 1")
        expected = type.nbytes(prod(shape))
        left = self.size - self._start
        if len(offsets) != 2 or not 0 <= offsets[0] <= offsets[1] <= left:
            raise LoaderError(
                f"{self.path}: {shown} has data_offsets {_shown(offsets)}, expected two from 0 to {left}"
            )
        if offsets[1] - offsets[0] != expected:
            raise LoaderError(
                f"{self.path}: {shown} has {offsets[1] - offsets[0]} bytes, expected {expected} for"
                f" {dtype} {_shown(shape)}"
            )
        return Tensor(name, tuple(shape) or (1,), type, self._start + offsets[0], expected)

    def _checked(self, rows: list[Tensor]) -> tuple[Tensor, ...]:
        """The tensors, which fill the file without overlap."""
        end = self._start
        for tensor in sorted(rows, key=lambda row: row.offset):
            if tensor.offset != end:
                what = (
                    "overlaps another tensor"
                    if tensor.offset < end
                    else f"begins {tensor.offset - end} bytes late"
                )
                raise LoaderError(f"{self.path}: byte {end}: {printable(tensor.name)} {what}", _DAMAGED)
            end += tensor.nbytes
        if end != self.size:
            raise LoaderError(
                f"{self.path}: byte {end}: {self.size - end} extra bytes, expected the file to end here",
                _DAMAGED,
            )
        return tuple(rows)


def open_safetensors(source: Source) -> Safetensors:
    """Read a safetensors file's table; closes it on an error, which is a LoaderError."""
    try:
        return Safetensors(source)
    except BaseException:
        source.close()
        raise


def _shown(numbers: list[int]) -> str:
    return printable(str(numbers), 60)

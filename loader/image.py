"""A file as it would be in some byte order, read at any offset without being made.

An image is a table of segments. A segment says where its bytes come from and of which type they are; that
table is all that differs between the formats, and this file is the only one that swaps.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from loader.source import Source
from loader.tensor_types import I32, TensorType

if TYPE_CHECKING:
    import numpy as np  # otherwise where it is used: half of all commands never swap anything

ITEM = I32.block_bytes  # of a number in a header or a tokenizer: int32 or float32


class Segment(NamedTuple):
    """`nbytes` bytes of an image, taken from `origin`: an offset in the source file, the bytes themselves, or
    a function that makes them.

    They are whole blocks of `type`, which says what swaps when the orders differ.
    """

    nbytes: int
    type: TensorType
    origin: int | bytes | Callable[[], bytes]


class Image:
    """The bytes of a converted file: `size` bytes, readable at any offset and length."""

    def __init__(self, source: Source | Sequence[Source], segments: Iterable[Segment], swap: bool) -> None:
        """`segments` in the order of the image; `swap` says whether the byte orders differ.

        Offsets are those in the first source; the others are read by functions.
        """
        self._sources = (source,) if isinstance(source, Source) else tuple(source)
        self._swap = swap
        self._made: tuple[Segment, bytes] | None = None
        self._segments = _joined(segments)
        self._starts = [0]
        for segment in self._segments:
            self._starts.append(self._starts[-1] + segment.nbytes)
        self.size = self._starts[-1]

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` (writable bytes) with the image's bytes from `offset`, reading no more than that.

        Raises ValueError for a range outside the image, LoaderError if the source file cannot be read.
        """
        view = buffer.cast("B")
        if offset < 0 or offset + len(view) > self.size:
            raise ValueError(f"bytes {offset} to {offset + len(view)} of an image of {self.size} bytes")
        index = bisect_right(self._starts, offset) - 1
        done = 0
        while done < len(view):
            begin = offset + done - self._starts[index]
            count = min(len(view) - done, self._segments[index].nbytes - begin)
            self._fill(self._segments[index], begin, view[done : done + count])
            done += count
            index += 1

    def check_unchanged(self) -> None:
        """Raises LoaderError if a source file has changed since it was opened."""
        if not all(isinstance(segment.origin, bytes) for segment in self._segments):
            for source in self._sources:
                source.check_unchanged()

    def _fill(self, segment: Segment, begin: int, out: memoryview) -> None:
        """Converted bytes of one segment from its byte `begin`, which may lie inside a block."""
        self._fetch(segment, begin, out)
        if not self._swap or not segment.type.swaps:
            return
        size = segment.type.block_bytes
        end = begin + len(out)
        first = min(-(-begin // size) * size, end)  # the whole blocks lie between first and last
        last = max(end // size * size, first)
        if last > first:
            _swap_blocks(segment.type, out[first - begin : last - begin])
        for start, stop in ((begin, first), (last, end)):
            if stop > start:
                base = start // size * size
                block = memoryview(bytearray(size))
                self._fetch(segment, base, block)
                _swap_blocks(segment.type, block)
                out[start - begin : stop - begin] = block[start - base : stop - base]

    def _fetch(self, segment: Segment, begin: int, out: memoryview) -> None:
        if isinstance(segment.origin, int):
            self._sources[0].read_into(segment.origin + begin, out)
        else:
            made = segment.origin if isinstance(segment.origin, bytes) else self._make(segment)
            out[:] = memoryview(made)[begin : begin + len(out)]

    def _make(self, segment: Segment) -> bytes:
        """What a segment's function makes; only the last one is kept."""
        if self._made is None or self._made[0] is not segment:
            assert callable(segment.origin)
            self._made = None  # frees the one before
            self._made = segment, segment.origin()
        return self._made[1]


def _swap_blocks(type: TensorType, blocks: memoryview) -> None:
    """Reverse the bytes of every number that swaps, in place; `blocks` is writable and holds whole blocks."""
    import numpy as np

    count = len(blocks) // type.block_bytes
    for offset, width in type.swaps:
        little, big = (
            np.ndarray(count, f"{mark}u{width}", blocks, offset, type.block_bytes) for mark in "<>"
        )
        little[:] = big  # numpy promises this for overlapping views; several times as fast as its `byteswap`


def _joined(segments: Iterable[Segment]) -> list[Segment]:
    """Segments with neighbours that swap alike joined, so that a whole v0 file is a single one."""
    joined: list[Segment] = []
    for segment in segments:
        before = joined[-1] if joined else None
        if (
            before is not None
            and isinstance(before.origin, int)
            and before.origin + before.nbytes == segment.origin
            and before.type.swaps_as(segment.type)
        ):
            joined[-1] = Segment(before.nbytes + segment.nbytes, before.type, before.origin)
        elif segment.nbytes:
            joined.append(segment)
    return joined


def swap_numbers(data: bytes, offsets: np.ndarray[Any, np.dtype[np.int64]], width: int) -> bytes:
    """`data` with the `width` bytes at each of `offsets` reversed."""
    import numpy as np

    swapped = np.frombuffer(data, np.uint8).copy()
    for left in range(width // 2):
        right = width - 1 - left
        swapped[offsets + left], swapped[offsets + right] = (
            swapped[offsets + right],
            swapped[offsets + left],
        )
    return swapped.tobytes()

"""Walks through the beginning of a GGUF file: every length is checked, every number that swaps is noted."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from loader.errors import LoaderError
from loader.gguf.metadata import Entry, ValueType
from loader.kinds import ByteOrder
from loader.source import Source

if TYPE_CHECKING:
    import numpy as np

MAX_METADATA = 64 << 20  # bytes before the tensors' data; the tokenizer of Llama 3 takes 7 MiB
MAX_STRINGS = 1 << 21  # in an array: merges of a vocabulary of a million pieces
_FIRST_READ = 1 << 20
DAMAGED = "the file is damaged; fetch it again"


class Cursor:
    """A place in the file, which moves on with every value that is read."""

    def __init__(self, source: Source, order: ByteOrder) -> None:
        self._source = source
        self.path = source.path
        self._mark = order.mark
        self._limit = min(source.size, MAX_METADATA)
        self.data = source.read(0, min(_FIRST_READ, self._limit))
        self.position = 4  # behind the magic
        self._places: dict[int, array[int]] = {width: array("q") for width in (2, 4, 8)}
        self._runs: list[tuple[int, int, int]] = []

    def fault(self, offset: int, what: str) -> LoaderError:
        """The error of what stands at `offset`."""
        return LoaderError(f"{self._source.path}: byte {offset}: {what}", DAMAGED)

    def number(self, type: ValueType, what: str) -> Any:
        """A number; raises LoaderError if the file ends before."""
        offset, width = self.position, type.width
        self._move(width, what)
        if width > 1:
            self._places[width].append(offset)
        return struct.unpack_from(f"{self._mark}{type.code}", self.data, offset)[0]

    def string(self, what: str, longest: int) -> bytes:
        """A string of 1 to `longest` bytes."""
        start = self.position
        length = self.number(ValueType.UINT64, f"the length of {what}")
        if not 1 <= length <= longest:
            raise self.fault(start, f"{what} of {length} bytes, expected 1 to {longest}")
        self._move(length, what)
        return self.data[start + 8 : self.position]

    def count(self, what: str, least_bytes: int) -> int:
        """A number of things that take at least `least_bytes` each, compared with what remains."""
        start = self.position
        count: int = self.number(ValueType.UINT64, f"the number of {what}")
        left = self._source.size - self.position
        if count > left // least_bytes:
            raise self.fault(start, f"{count} {what}, but the file ends {left} bytes later")
        return count

    def value(self, key: str) -> Entry:
        """A value with its type before it."""
        type = self._type(key)
        start = self.position
        if type is ValueType.STRING:
            self._strings(1, key)
            return Entry(type, start)
        if type is not ValueType.ARRAY:
            self.number(type, key)
            if type is ValueType.BOOL and self.data[start] > 1:
                raise self.fault(start, f"{key} {self.data[start]}, expected 0 or 1 for a {type}")
            return Entry(type, start)
        element = self._type(f"the elements of {key}")
        if element is ValueType.ARRAY:
            raise self.fault(start, f"{key} is an array of arrays, which no known key is")
        width = 8 if element is ValueType.STRING else element.width
        count = self.count(f"elements of {key}", width)
        start = self.position
        if element is ValueType.STRING:
            if count > MAX_STRINGS:
                raise self.fault(start - 8, f"{count} strings in {key}, expected at most {MAX_STRINGS}")
            return Entry(type, start, element, count, self._strings(count, key))
        self._move(count * width, key)
        if width > 1:
            self._runs.append((start, count, width))
        return Entry(type, start, element, count)

    def swaps(self) -> Iterator[tuple[np.ndarray[Any, np.dtype[np.int64]], int]]:
        """(offsets, width) of all numbers passed that have a byte order."""
        import numpy as np

        for width, places in self._places.items():
            runs = [start + width * np.arange(count) for start, count, of in self._runs if of == width]
            yield np.concatenate([np.array(places, np.int64), *runs]), width

    def _type(self, what: str) -> ValueType:
        start = self.position
        number = self.number(ValueType.UINT32, f"the type of {what}")
        try:
            return ValueType(number)
        except ValueError:
            raise self.fault(start, f"type {number} of {what}, expected 0 to {max(ValueType):d}") from None

    def _strings(self, count: int, what: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The offsets of the lengths of so many strings."""
        import numpy as np

        unpack = struct.Struct(f"{self._mark}Q").unpack_from
        places: list[int] = []
        add, data, position, size = places.append, self.data, self.position, self._source.size
        for _ in range(count):
            if position + 8 > len(data):
                self.position = position
                self._move(8, what)
                data = self.data
            (length,) = unpack(data, position)
            add(position)
            position += 8 + length
            if position > size:
                left = size - places[-1] - 8
                raise self.fault(
                    places[-1], f"a string of {length} bytes in {what}, but the file ends {left} bytes later"
                )
        self.position = position
        self._move(0, what)
        starts = np.array(places, np.int64)
        self._places[8].frombytes(starts.tobytes())
        return starts

    def _move(self, nbytes: int, what: str) -> None:
        """Pass so many bytes, which are in `data` then."""
        end = self.position + nbytes
        if end > self._source.size:
            left = self._source.size - self.position
            raise LoaderError(
                f"{self._source.path}: byte {self.position}: truncated in {what}: found {left} bytes,"
                f" expected {nbytes}",
                "the copy or download stopped early; fetch the file again",
            )
        if end > self._limit:
            raise self.fault(
                self.position,
                f"{what} reaches to byte {end}, expected metadata of at most {MAX_METADATA} bytes",
            )
        if end > len(self.data):
            self.data = self._source.read(0, min(max(end, 2 * len(self.data)), self._limit))
        self.position = end

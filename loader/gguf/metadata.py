"""The metadata of a GGUF file: keys with typed values, which are made when asked for."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loader.errors import LoaderError
from loader.kinds import ByteOrder
from loader.printable import printable

if TYPE_CHECKING:
    import numpy as np


class ValueType(IntEnum):
    """The type of a value, by GGUF's number."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12

    @property
    def code(self) -> str:
        """The letter of `struct` for a number of the type."""
        return _CODES[self]

    @property
    def width(self) -> int:
        """Bytes of a number of the type."""
        return struct.calcsize(f"<{self.code}")

    def __str__(self) -> str:
        return self.name.lower()


_CODES: dict[ValueType, str] = dict(
    zip(
        [type for type in ValueType if type not in (ValueType.STRING, ValueType.ARRAY)],
        "BbHhIif?Qqd",
        strict=True,
    )
)
INTEGERS = frozenset(ValueType) - {
    ValueType.FLOAT32,
    ValueType.FLOAT64,
    ValueType.BOOL,
    ValueType.STRING,
    ValueType.ARRAY,
}


@dataclass(frozen=True)
class Entry:
    """A value where it stands in the file: `offset` is that of its first number or of its string's length.

    `element` and `count` are those of an array; `starts` has the offset of the length of each string in it.
    """

    type: ValueType
    offset: int
    element: ValueType | None = None
    count: int = 1
    starts: np.ndarray[Any, np.dtype[np.int64]] | None = None

    def __str__(self) -> str:
        return str(self.type) if self.element is None else f"array of {self.count} {self.element}"


class Metadata:
    """The values of a file by their keys. Every length in `entries` has been checked."""

    def __init__(self, path: Path, data: bytes, order: ByteOrder, entries: dict[str, Entry]) -> None:
        """`data` is the beginning of the file."""
        self.path = path
        self._data = data
        self._order = order
        self.entries = entries

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def integer(self, key: str, default: int | None = None) -> int:
        """An integer of any width. Raises LoaderError if missing (without a default) or of another type."""
        entry = self._entry(key, default, INTEGERS, "an integer")
        return default if entry is None and default is not None else int(self._number(entry))

    def real(self, key: str, default: float | None = None) -> float:
        """A number. Raises LoaderError if it is missing (without a default) or another type."""
        kinds = INTEGERS | {ValueType.FLOAT32, ValueType.FLOAT64}
        entry = self._entry(key, default, kinds, "a number")
        return default if entry is None and default is not None else float(self._number(entry))

    def flag(self, key: str, default: bool) -> bool:
        """A truth value. Raises LoaderError if it is of another type."""
        entry = self._entry(key, default, frozenset({ValueType.BOOL}), "a bool")
        return default if entry is None else bool(self._number(entry))

    def text(self, key: str, default: str | None = None) -> str:
        """A string. Raises LoaderError if it is missing (without a default), another type or not UTF-8."""
        entry = self._entry(key, default, frozenset({ValueType.STRING}), "a string")
        if entry is None and default is not None:
            return default
        assert entry is not None
        try:
            return self._string(entry.offset).decode()
        except UnicodeDecodeError as error:
            raise LoaderError(
                f"{self.path}: byte {entry.offset + 8 + error.start}: {key} is no UTF-8, expected text"
            ) from None

    def texts(self, key: str) -> list[bytes]:
        """An array of strings. Raises LoaderError if it is missing or another type."""
        entry = self.array(key, frozenset({ValueType.STRING}), "strings")
        assert entry.starts is not None
        starts: list[int] = entry.starts.tolist()
        if not starts:
            return []
        ends = [*starts[1:], starts[-1] + 8 + len(self._string(starts[-1]))]
        data = self._data
        return [data[start + 8 : end] for start, end in zip(starts, ends, strict=True)]

    def text_at(self, key: str, index: int) -> bytes:
        """An item of an array of strings; empty beyond its end. Raises LoaderError as `texts` does."""
        starts = self.array(key, frozenset({ValueType.STRING}), "strings").starts
        assert starts is not None
        return self._string(int(starts[index])) if index < len(starts) else b""

    def numbers(self, key: str) -> np.ndarray[Any, np.dtype[Any]]:
        """An array of numbers, in the file's byte order. Raises LoaderError if missing or another type."""
        import numpy as np

        entry = self.array(key, frozenset(_CODES), "numbers")
        assert entry.element is not None
        code = "?" if entry.element is ValueType.BOOL else f"{self._order.mark}{entry.element.code}"
        return np.frombuffer(self._data, code, entry.count, entry.offset)

    def array(self, key: str, elements: frozenset[ValueType], what: str) -> Entry:
        """The entry of an array. Raises LoaderError if it is missing or has other elements."""
        entry = self._entry(key, None, frozenset({ValueType.ARRAY}), f"an array of {what}")
        assert entry is not None
        if entry.element not in elements:
            raise self._wrong(key, entry, f"an array of {what}")
        return entry

    def plain(self, key: str) -> object:
        """A value for display; of an array what it is."""
        entry = self.entries[key]
        if entry.type is ValueType.ARRAY:
            return f"{entry.count} {entry.element}"
        if entry.type is ValueType.STRING:
            return printable(self._string(entry.offset))
        return self._number(entry)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def _entry(self, key: str, default: object, types: frozenset[ValueType], expected: str) -> Entry | None:
        entry = self.entries.get(key)
        if entry is None and default is None:
            raise LoaderError(f"{self.path}: no metadata key {key}, expected {expected}")
        if entry is not None and entry.type not in types:
            raise self._wrong(key, entry, expected)
        return entry

    def _wrong(self, key: str, entry: Entry, expected: str) -> LoaderError:
        return LoaderError(f"{self.path}: byte {entry.offset}: {key} is {entry}, expected {expected}")

    def _number(self, entry: Entry | None) -> Any:
        assert entry is not None
        return struct.unpack_from(f"{self._order.mark}{entry.type.code}", self._data, entry.offset)[0]

    def _string(self, offset: int) -> bytes:
        length = struct.unpack_from(f"{self._order.mark}Q", self._data, offset)[0]
        return self._data[offset + 8 : offset + 8 + length]

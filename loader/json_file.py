"""A JSON file from outside: bounded, without duplicate names, and with every mistake a LoaderError."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from loader.errors import LoaderError
from loader.printable import printable
from loader.source import Source

MAX_JSON = 16 << 20


class JsonObject:
    """A JSON object of a file. Values are asked for by name and kind; the errors name file, key and value."""

    def __init__(self, path: Path, values: dict[str, Any], prefix: str = "") -> None:
        self.path = path
        self.values = values
        self._prefix = prefix

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer. Raises LoaderError if it is missing (without a default) or something else."""
        value = self._value(name, default)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise self._wrong(name, "an integer")

    def real(self, name: str, default: float | None = None) -> float:
        """A number. Raises LoaderError if it is missing (without a default) or something else."""
        value = self._value(name, default)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300:
            return float(value)
        raise self._wrong(name, "a number")

    def flag(self, name: str, default: bool) -> bool:
        """A truth value. Raises LoaderError if it is something else."""
        value = self._value(name, default)
        if isinstance(value, bool):
            return value
        raise self._wrong(name, "true or false")

    def text(self, name: str, default: str | None = None) -> str:
        """A string. Raises LoaderError if it is missing (without a default) or something else."""
        value = self._value(name, default)
        if isinstance(value, str):
            return value
        raise self._wrong(name, "a string")

    def integers(self, name: str) -> list[int]:
        """Integers: an array of them, or a single one; none if there is no such value."""
        value = self.values.get(name)
        items = value if isinstance(value, list) else [] if value is None else [value]
        if all(isinstance(item, int) and not isinstance(item, bool) for item in items):
            return items
        raise self._wrong(name, "integers")

    def inner(self, name: str) -> JsonObject:
        """An object within this one; empty if there is none."""
        value = self.values.get(name)
        if value is None:
            value = {}
        if isinstance(value, dict):
            return JsonObject(self.path, value, f"{self._prefix}{name}.")
        raise self._wrong(name, "an object")

    def _value(self, name: str, default: object) -> object:
        value = self.values.get(name)
        if value is None and default is None:
            raise LoaderError(f"{self.path}: no {self._prefix}{name}")
        return default if value is None else value

    def _wrong(self, name: str, expected: str) -> LoaderError:
        value = printable(json.dumps(self.values.get(name), ensure_ascii=True), 40)
        return LoaderError(f"{self.path}: {self._prefix}{printable(name)} is {value}, expected {expected}")


def parse_object(path: Path, data: bytes, offset: int = 0) -> JsonObject:
    """The object that `data`, at `offset` in the file, consists of. Raises LoaderError."""
    try:
        values = json.loads(data, object_pairs_hook=_without_duplicates)
    except _DuplicateName as error:
        raise LoaderError(f"{path}: a second {printable(str(error))} in an object") from None
    except RecursionError:
        raise LoaderError(f"{path}: byte {offset}: JSON within JSON, too deep") from None
    except json.JSONDecodeError as error:
        raise LoaderError(f"{path}: byte {offset + error.pos}: no JSON: {error.msg.lower()}") from None
    except ValueError as error:  # no UTF-8, or a number of thousands of digits
        raise LoaderError(f"{path}: byte {offset}: no JSON: {printable(str(error))}") from None
    if not isinstance(values, dict):
        raise LoaderError(f"{path}: byte {offset}: no JSON object")
    return JsonObject(path, values)


def read_object(path: Path) -> JsonObject:
    """The object in a file of at most MAX_JSON bytes. Raises LoaderError."""
    source = Source(path)
    try:
        if source.size > MAX_JSON:
            raise LoaderError(f"{path}: {source.size} bytes, expected JSON of at most {MAX_JSON}")
        return parse_object(path, source.read(0, source.size))
    finally:
        source.close()


class _DuplicateName(Exception):
    """An object has a name twice."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise _DuplicateName(next(name for name, count in counts.items() if count > 1))
    return values

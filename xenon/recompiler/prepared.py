"""Code that was compiled when the package was built, for functions that are known to be hot.

For each kind of host there is a shared library, and a record that says which guest instructions each of its
functions came from. Nothing of it is trusted to fit: the generator must be this one, and the guest's memory
must hold those instructions. The files lie in the package's own folder, as its modules do.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import platform
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.host.processor import features
from xenon.powerpc.abi import INSTRUCTION_BYTES
from xenon.recompiler.bridge import bridge_text
from xenon.recompiler.units import CompiledUnit, generator_version

FOLDER = Path(__file__).resolve().parent / "prepared_code"
BRIDGE, HAND_OVER = "bridge", "hand_over"
_MOST_RECORD = 4 * 1024 * 1024  # bytes

# Processor features as Linux names them, for x86-64's levels; the better level comes first.
_V3 = "avx avx2 bmi1 bmi2 f16c fma abm movbe"
WINDOWS = "windows_x86_64_v3"
_LEVELS = {"x86_64_v4": f"{_V3} avx512f avx512bw avx512cd avx512dq avx512vl", "x86_64_v3": _V3}


class PreparedUnit(NamedTuple):
    """A function of the library: its symbol, the guest addresses that it serves, and its instructions as runs
    of (address, words), with their hash."""

    symbol: str
    entries: tuple[int, ...]
    points: tuple[int, ...]
    runs: tuple[tuple[int, int], ...]
    digest: str

    @classmethod
    def read(cls, row: dict[str, object]) -> Self:
        """From a row of a record. Raises ValueError, TypeError, KeyError for anything else."""
        entries, points = (tuple(map(int, _items(row[key]))) for key in ("entries", "points"))
        runs = tuple((int(start), int(count)) for start, count in map(_items, _items(row["runs"])))
        if any(not 0 <= start <= start + INSTRUCTION_BYTES * count <= RAM_BYTES for start, count in runs):
            raise ValueError("a run outside of memory")
        return cls(str(row["symbol"]), entries, points, runs, str(row["digest"]))


class Record(NamedTuple):
    """What a library was made from: the versions that code is made for, and its functions."""

    version: str
    units: tuple[PreparedUnit, ...]
    alone: tuple[int, ...] = ()  # words that have a function of their own (see lifter/general.py)

    def text(self) -> str:
        rows = {**self._asdict(), "units": [unit._asdict() for unit in self.units]}
        return json.dumps(rows, separators=(",", ":")) + "\n"


def alone_symbol(general: int) -> str:
    """The name of the function for a word that lifter/general.py makes."""
    return f"alone_{general:08x}"


def prepared_version() -> str:
    """A hash of all that decides what the code is besides the guest's instructions."""
    sizes = repr((RAM_BYTES, PAGE_BYTES))
    return hashlib.sha256("\n".join((generator_version(), sizes, bridge_text(BRIDGE))).encode()).hexdigest()


def digest_of(code: Callable[[int, int], bytes], runs: tuple[tuple[int, int], ...]) -> str:
    """A hash of the instructions; `code` reads so many bytes at an address."""
    digest = hashlib.sha256()
    for start, count in runs:
        digest.update(code(start, INSTRUCTION_BYTES * count))
    return digest.hexdigest()


class Prepared:
    """A library in this process, and its record."""

    def __init__(self, record: Record, library: ctypes.CDLL) -> None:
        self._units: dict[tuple[int, ...], list[PreparedUnit]] = {}
        for unit in record.units:
            self._units.setdefault(unit.entries, []).append(unit)
        self._library = library
        self._alone = frozenset(record.alone)

    @property
    def hand_over(self) -> int:
        """The host address of the hook for exceptions (see hand_over.py)."""
        return self._address(HAND_OVER)

    def alone(self, general: int) -> int | None:
        """The host address of the function for a word (see lifter/general.py); None where there is none."""
        return self._address(alone_symbol(general)) if general in self._alone else None

    @property
    def bridge(self) -> int:
        """The host address of the hook that hands over (see bridge.py)."""
        return self._address(BRIDGE)

    def unit(
        self, entries: tuple[int, ...], fetch: Callable[[int], int | None], code: Callable[[int, int], bytes]
    ) -> CompiledUnit | None:
        """The function with these entries, if memory holds the instructions that it came from; `fetch` has
        the word of an address that may be executed, else None. What it calls is prepared itself, or rare."""
        for unit in self._units.get(entries, ()):
            pages = frozenset(
                page
                for start, count in unit.runs
                for page in range(
                    start // PAGE_BYTES, (start + INSTRUCTION_BYTES * count - 1) // PAGE_BYTES + 1
                )
            )
            if any(fetch(page * PAGE_BYTES) is None for page in pages):
                continue
            if digest_of(code, unit.runs) == unit.digest:
                words, function = sum(count for _, count in unit.runs), self._address(unit.symbol)
                return CompiledUnit(function, unit.points, frozenset(), pages, words, cached=True)
        return None

    def _address(self, symbol: str) -> int:
        return ctypes.cast(getattr(self._library, symbol), ctypes.c_void_p).value or 0


@cache
def prepared(folder: Path = FOLDER) -> Prepared | None:
    """The best library for this computer; None where there is none, or it was made by another generator."""
    for kind in host_kinds():
        with_record = folder / f"{kind}.json"
        try:
            with with_record.open("rb") as file:
                rows = json.loads(file.read(_MOST_RECORD))
            units, alone = tuple(map(PreparedUnit.read, rows["units"])), tuple(map(int, rows["alone"]))
            record = Record(str(rows["version"]), units, alone)
            if record.version == prepared_version():
                found = Prepared(record, ctypes.CDLL(str(folder / library_name(kind))))
                return found if found.bridge else None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
    return None


def host_kinds() -> Iterator[str]:
    """The kinds of code that this computer executes, the best first."""
    if sys.platform.startswith("linux") and platform.machine() == "aarch64":
        yield "aarch64"
    if sys.platform.startswith("linux") and platform.machine() == "x86_64":
        has = features()
        yield from (level for level, needed in _LEVELS.items() if has.issuperset(needed.split()))
    if sys.platform == "win32" and features().issuperset(_V3.split()):
        yield WINDOWS


def library_name(kind: str) -> str:
    """The file name of the library for this kind of host."""
    return f"{kind}.dll" if kind == WINDOWS else f"{kind}.so"


def _items(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("no list")
    return value

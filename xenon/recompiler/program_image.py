"""All compiled code of a program in one file of the cache: its next run enters it from the first instruction.

A record says which guest instructions each function came from, as for prepared code: a function is served
only where memory holds them. Neither LLVM nor the lifter is needed to take it. Object code that cannot be
flattened (see object_code.py) is not in it: that is taken from the cache by itself.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import platform
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.host.machine_code import MachineCode, machine_code
from xenon.host.processor import features
from xenon.powerpc.abi import INSTRUCTION_BYTES
from xenon.recompiler.object_code import ALIGNMENT, FlatCode
from xenon.recompiler.units import CompiledUnit, generator_version

MOST_BYTES = 6 * 1024 * 1024
"""Bytes of code in an image: with its record, less than a file of the cache may have."""


class KeptUnit(NamedTuple):
    """A function of an image: its entries, one more inside it, whether it is of the full optimiser, where its
    code is, and what CompiledUnit has of it."""

    entries: tuple[int, ...]
    inside: int | None
    optimised: bool
    points: tuple[int, ...]
    inside_blocks: tuple[int, ...]
    calls: tuple[int, ...]
    runs: tuple[tuple[int, int], ...]
    digest: str
    instructions: int
    start: int
    size: int
    entry: int

    @classmethod
    def make(cls, entries: tuple[int, ...], inside: int | None, optimised: bool, unit: CompiledUnit) -> Self:
        """Without code yet."""
        inside_blocks, calls = tuple(sorted(unit.inside_blocks)), tuple(sorted(unit.calls))
        return cls(
            entries, inside, optimised, unit.points, inside_blocks, calls,
            unit.runs, unit.digest, unit.instructions, 0, 0, 0,
        )  # fmt: skip

    @classmethod
    def read(cls, row: dict[str, Any], code_bytes: int) -> Self:
        """From a row of a record. Raises ValueError, TypeError, KeyError for anything else."""
        entries, points, inside_blocks, calls = (
            tuple(map(_address, row[key])) for key in ("entries", "points", "inside_blocks", "calls")
        )
        runs = tuple((_address(start), int(count)) for start, count in row["runs"])
        start, size, entry = (int(row[key]) for key in ("start", "size", "entry"))
        inside = None if row["inside"] is None else _address(row["inside"])
        fits = start >= 0 and 0 <= entry < size and start + size <= code_bytes
        ends = [start + INSTRUCTION_BYTES * count for start, count in runs]
        if (
            not entries
            or not runs
            or not fits
            or max(ends) > RAM_BYTES
            or min(count for _, count in runs) < 1
        ):
            raise ValueError("no function of an image")
        return cls(
            entries, inside, bool(row["optimised"]), points, inside_blocks, calls,
            runs, str(row["digest"]), int(row["instructions"]), start, size, entry,
        )  # fmt: skip

    @property
    def pages(self) -> frozenset[int]:
        """The pages of its instructions."""
        return frozenset(
            page
            for start, count in self.runs
            for page in range(start // PAGE_BYTES, (start + INSTRUCTION_BYTES * count - 1) // PAGE_BYTES + 1)
        )

    def unit(self, base: int) -> CompiledUnit:
        """The function of an image that is at `base` in this process."""
        return CompiledUnit(
            base + self.start + self.entry,
            self.points,
            frozenset(self.calls),
            self.pages,
            self.instructions,
            cached=True,
            inside_blocks=frozenset(self.inside_blocks),
            runs=self.runs,
            digest=self.digest,
        )


class ProgramImage:
    """Functions, and the code of all of them."""

    def __init__(self, units: Iterable[KeptUnit], code: bytes) -> None:
        self.units = tuple(units)
        self._code = code
        self._in_process: MachineCode | None = None

    @classmethod
    def read(cls, data: bytes) -> Self | None:
        """What `data` wrote, None for anything else."""
        size = int.from_bytes(data[:8], "little")
        try:
            rows, code = json.loads(data[8 : 8 + size]), data[8 + size :]
            return cls([KeptUnit.read(row, len(code)) for row in rows], code)
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    @classmethod
    def of(cls, kept: Iterable[tuple[KeptUnit, FlatCode]]) -> Self:
        """Functions and their code, as many as there is room for."""
        units, code = [], bytearray()
        for unit, flat in kept:
            start = len(code) + -len(code) % ALIGNMENT
            if start + len(flat.data) <= MOST_BYTES:
                code += bytes(start - len(code)) + flat.data
                units.append(unit._replace(start=start, size=len(flat.data), entry=flat.entry))
        return cls(units, bytes(code))

    @property
    def data(self) -> bytes:
        """The image as a file: a byte count, so many bytes of JSON, the code."""
        record = json.dumps([unit._asdict() for unit in self.units], separators=(",", ":")).encode()
        return len(record).to_bytes(8, "little") + record + self._code

    def code_of(self, unit: KeptUnit) -> FlatCode:
        return FlatCode(self._code[unit.start : unit.start + unit.size], unit.entry)

    def base(self) -> int | None:
        """Where the code is in this process, for as long as this object lives; None on a host that allows no
        new code."""
        if self._in_process is None:
            self._in_process = machine_code(self._code)
        return None if self._in_process is None else self._in_process.address


def image_key(program: str, target: str) -> str:
    """The key of the image of a program: the same for the same code generator, compiler and host. `program`
    and `target` name what the code was made from and for."""
    source = "\n".join((generator_version(), _host(), target, program))
    return f"image_{hashlib.sha256(source.encode()).hexdigest()[:40]}"


@cache
def _host() -> str:
    """The compiler, by its library's file, and what this computer executes; without asking the compiler."""
    spec = importlib.util.find_spec("llvmlite")
    folder = Path(spec.origin).parent / "binding" if spec and spec.origin else None
    files = sorted(folder.iterdir()) if folder and folder.is_dir() else []
    statuses = [(path, path.stat()) for path in files if path.suffix in (".so", ".dll", ".dylib")]
    library = [(str(path), status.st_size, status.st_mtime_ns) for path, status in statuses]
    return repr((sys.platform, platform.machine(), sorted(features()), library))


def _address(value: object) -> int:
    """Raises ValueError for what is no address of an instruction."""
    if not isinstance(value, int) or value % INSTRUCTION_BYTES or not 0 <= value < RAM_BYTES:
        raise ValueError("no address of an instruction")
    return value

"""Names of code addresses, by one rule for all reports.

1. Functions come from the symbols of a file: functions, and untyped labels of assembly code. The symbol of an
   ABI v1 function names a descriptor, which is followed to the code.
2. Of several symbols at one address the name is chosen that has a size, then one that is not an indirect
   function (whose symbol stands at its resolver), then one without `_` in front, then the shortest, then the
   first in the alphabet.
3. A label inside of a function is no function of its own; nor is an unsized function inside of a sized one.
4. A function ends where its size says, where the next function begins, or with its section; without a size
   it reaches to the next one. So no address has two functions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from xenon.errors import XenonError
from xenon.powerpc import elf
from xenon.powerpc.abi import (
    DESCRIPTOR_BYTES,
    INSTRUCTION_BYTES,
    abi_version,
    descriptor,
    sets_up_toc,
    toc_distance,
)

Extent = tuple[int, int]
"""(address of the first byte, address behind the last) of machine code."""

_TYPES = (elf.SYMBOL_UNTYPED, elf.SYMBOL_FUNCTION, elf.SYMBOL_INDIRECT_FUNCTION)


class Function(NamedTuple):
    """Code from `address` up to `end`; `typed` is false for an assembler label."""

    address: int
    size: int  # bytes
    name: str
    typed: bool = True

    @property
    def end(self) -> int:
        return self.address + self.size


class Functions:
    """The functions of a program in the order of addresses; no two of them overlap."""

    def __init__(
        self,
        functions: Iterable[Function] = (),
        aliases: Iterable[tuple[str, int]] = (),
        toc: int | None = None,
    ) -> None:
        """`aliases`: further names, each with its address. `toc`: what r2 is in the program's entry, where
        the file tells."""
        self.toc = toc
        self._functions = tuple(sorted(functions))
        self._addresses = [function.address for function in self._functions]
        self._aliases = tuple(aliases)

    def __iter__(self) -> Iterator[Function]:
        return iter(self._functions)

    def __len__(self) -> int:
        return len(self._functions)

    def at(self, address: int) -> Function | None:
        """The function that holds an address."""
        index = bisect_right(self._addresses, address) - 1
        if index < 0 or address >= self._functions[index].end:
            return None
        return self._functions[index]

    def within(self, start: int, end: int) -> Sequence[Function]:
        """The functions that begin at `start` or behind it, and before `end`."""
        return self._functions[
            bisect_right(self._addresses, start - 1) : bisect_right(self._addresses, end - 1)
        ]

    def addresses_of(self, names: Container[str]) -> list[int]:
        """The addresses that have one of these names, aliases included, in order."""
        functions = {function.address for function in self._functions if function.name in names}
        return sorted(functions | {address for name, address in self._aliases if name in names})

    def describe(self, address: int) -> str:
        """`main+0x24`; empty where no function holds the address."""
        function = self.at(address)
        return f"{function.name}+0x{address - function.address:x}" if function else ""


def unnamed(address: int) -> str:
    """What reports call code at an address that has no function."""
    return f"sub_{address:08x}"


def read_functions(file: elf.Elf, code: Iterable[Extent], base: int = 0) -> Functions:
    """The functions of a file whose machine code takes these extents, loaded at `base`.

    Damaged section headers and symbol tables give fewer functions, no error.
    """
    try:
        sections = file.sections()
    except XenonError:
        return Functions()
    extents = _Extents(code, [section for section in sections if section.executable])
    candidates: dict[int, _Candidate] = {}
    names: list[tuple[str, int]] = []
    for symbol in file.symbols(sections):
        address = _code_address(file, sections, symbol)
        end = extents.end_of(address)
        if symbol.type not in _TYPES or end is None or address % INSTRUCTION_BYTES:
            continue
        names.append((symbol.name, address + base))
        candidate = _Candidate(address, min(symbol.size, end - address), symbol.name, symbol.type, end)
        candidates[address] = candidate.merged(candidates.get(address, candidate))
    toc = _toc(file, sections)
    return Functions(
        _without_overlap(sorted(candidates.values(), key=lambda row: row.address), base),
        names,
        None if toc is None else toc + base,
    )


def _toc(file: elf.Elf, sections: Sequence[elf.Section]) -> int | None:
    """The table of contents of the function that a 64-bit program begins with, None where it has none."""
    if file.bits != 64 or file.order != "big":
        return None
    entry = file.header.entry
    for section in sections:
        offset = entry - section.address
        if section.address and 0 <= offset <= section.size - DESCRIPTOR_BYTES:
            try:
                data = file.content(section)[offset : offset + DESCRIPTOR_BYTES]
            except XenonError:
                return None
            if len(data) < DESCRIPTOR_BYTES:
                return None
            if abi_version(file.header.flags) == 1:
                return descriptor(data)[1]
            high, low = (int.from_bytes(data[start : start + INSTRUCTION_BYTES], "big") for start in (0, 4))
            return entry + toc_distance(high, low) if sets_up_toc(high, low) else None
    return None


class _Candidate(NamedTuple):
    address: int
    size: int  # 0 where the symbol has none
    name: str
    type: int  # of the symbol
    code_end: int
    typed: bool = False  # one of the symbols at this address is a function's

    @property
    def rank(self) -> tuple[bool, bool, bool, int, str]:
        """Lowest for the name to choose."""
        indirect = self.type == elf.SYMBOL_INDIRECT_FUNCTION
        return self.size == 0, indirect, self.name.startswith("_"), len(self.name), self.name

    def merged(self, other: _Candidate) -> _Candidate:
        """The better one of two at the same address."""
        typed = any(row.typed or row.type != elf.SYMBOL_UNTYPED for row in (self, other))
        return min(self, other, key=lambda row: row.rank)._replace(typed=typed)


class _Extents:
    """Machine code: its extents, divided where sections begin and end."""

    def __init__(self, extents: Iterable[Extent], sections: Iterable[elf.Section]) -> None:
        self._extents = sorted(extents)
        self._starts = [start for start, _ in self._extents]
        edges = ((section.address, section.address + section.size) for section in sections)
        self._edges = sorted({edge for pair in edges for edge in pair})

    def end_of(self, address: int) -> int | None:
        """The end of the code around an address; None where there is no code."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._extents[index][1]:
            return None
        next_edge = bisect_right(self._edges, address)
        return min([self._extents[index][1], *self._edges[next_edge : next_edge + 1]])


def _code_address(file: elf.Elf, sections: Sequence[elf.Section], symbol: elf.Symbol) -> int:
    """Where a symbol's code is: its value, or what its descriptor of ABI v1 says."""
    section = sections[symbol.section]
    if section.executable or symbol.type == elf.SYMBOL_UNTYPED or file.bits != 64 or file.order != "big":
        return symbol.value
    if abi_version(file.header.flags) != 1:
        return symbol.value
    try:
        data = file.content(section)
    except XenonError:
        return symbol.value
    offset = symbol.value - section.address
    return descriptor(data[offset:])[0] if 0 <= offset <= len(data) - DESCRIPTOR_BYTES else symbol.value


def _without_overlap(candidates: Sequence[_Candidate], base: int) -> Iterator[Function]:
    kept: list[_Candidate] = []
    sized_end = function_end = 0
    for candidate in candidates:
        inside = candidate.address < (sized_end if candidate.typed else function_end)
        if inside and not (candidate.typed and candidate.size):
            continue
        kept.append(candidate)
        if candidate.size:
            sized_end = max(sized_end, candidate.address + candidate.size)
        reaches_on = candidate.typed and not candidate.size
        function_end = max(sized_end, candidate.code_end if reaches_on else 0)
    nexts = [following.address for _, following in pairwise(kept)]
    for candidate, following in zip(kept, [*nexts, 1 << 64], strict=False):
        end = candidate.address + candidate.size if candidate.size else candidate.code_end
        size = min(end, following) - candidate.address
        yield Function(candidate.address + base, size, candidate.name, candidate.typed)

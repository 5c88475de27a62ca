"""Names for addresses, from a program's .symtab; ABI v1 function descriptors are followed to their code."""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass

from xenon.linux.program import Program

_SECTION = struct.Struct(">IIQQQQIIQQ")
_SYMBOL = struct.Struct(">IBBHQQ")
_SYMBOL_TABLE = 2
_FUNCTION = 2
_UNTYPED = 0
_EXECUTABLE_FLAG = 4


@dataclass(frozen=True, slots=True, order=True)
class Symbol:
    """A function: address of its code, length in bytes (0 when the file does not say), name."""

    address: int
    size: int
    name: str


class Symbols:
    """The functions of a program, at the addresses where it was loaded. A damaged table gives fewer names,
    no error."""

    def __init__(self, program: Program, base: int = 0) -> None:
        try:
            found = _read(program)
        except (struct.error, IndexError, OverflowError):
            found = []
        self._functions = sorted({Symbol(one.address + base, one.size, one.name) for one in found})
        self._starts = [one.address for one in self._functions]

    @property
    def functions(self) -> tuple[Symbol, ...]:
        """All functions in the order of addresses."""
        return tuple(self._functions)

    def at(self, address: int) -> Symbol | None:
        """The function that holds this address."""
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        candidates = [
            one for one in self._functions[max(0, index - 8) : index + 1] if address < one.address + one.size
        ]
        found = candidates[-1] if candidates else self._functions[index]
        return found if candidates or found.size == 0 else None

    def describe(self, address: int) -> str:
        """`main+0x24`, or nothing when no function holds the address."""
        found = self.at(address)
        return f"{found.name}+0x{address - found.address:x}" if found else ""


def _read(program: Program) -> list[Symbol]:
    image = memoryview(program.image)
    (table,) = struct.unpack_from(">Q", image, 40)
    size, count, _ = struct.unpack_from(">HHH", image, 58)
    if size != _SECTION.size or table + count * size > len(image):
        return []
    sections = [_SECTION.unpack_from(image, table + index * size) for index in range(count)]
    found: list[Symbol] = []
    for _, kind, _, _, offset, length, link, _, _, _ in sections:
        if kind != _SYMBOL_TABLE or offset + length > len(image) or link >= count:
            continue
        names = bytes(image[sections[link][4] : sections[link][4] + sections[link][5]])
        for symbol in _SYMBOL.iter_unpack(image[offset : offset + length - length % _SYMBOL.size]):
            function = _function(program, sections, names, symbol)
            if function is not None:
                found.append(function)
    return found


def _function(
    program: Program, sections: list[tuple[int, ...]], names: bytes, symbol: tuple[int, ...]
) -> Symbol | None:
    name_at, info, _, section, value, size = symbol
    if info & 0xF not in (_FUNCTION, _UNTYPED) or not 0 < section < len(sections) or name_at >= len(names):
        return None
    _, _, flags, start, offset, length, _, _, _, _ = sections[section]
    name = names[name_at : names.find(b"\0", name_at)].decode(errors="replace")
    if not name:
        return None
    if not flags & _EXECUTABLE_FLAG:  # ABI v1: the symbol is that of a descriptor in .opd
        place = offset + value - start
        if program.abi != 1 or info & 0xF != _FUNCTION or not start <= value <= start + length - 8:
            return None
        (value,) = struct.unpack_from(">Q", program.image, place)
    return Symbol(value, size, name)

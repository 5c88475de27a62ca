"""Object code of x86-64 without its file format: bytes that run wherever they lie together.

LLVM's modules here refer to nothing outside of themselves, and to themselves by distances. So a linker is not
needed: sections one behind the other, and the distances between them. Source: System V ABI for AMD64, ELF.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

ALIGNMENT = 64
"""Bytes: what code must begin at a multiple of."""
_HEAD = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")
_ELF64_LITTLE = b"\x7fELF\x02\x01\x01"
_RELOCATABLE, _X86_64 = 1, 62
_PROGBITS, _SYMTAB, _RELA, _ALLOCATED = 1, 2, 4, 2
_PC32, _PLT32 = 2, 4
_UNWINDING = b".eh_frame"


class FlatCode(NamedTuple):
    """Bytes to be placed at a multiple of ALIGNMENT, and where in them the function begins."""

    data: bytes
    entry: int


class _Section(NamedTuple):
    name: bytes
    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int


def flat_code(file: bytes, symbol: str) -> FlatCode | None:
    """The code of an object file, for its function `symbol`; None for a file that is none of x86-64 in ELF,
    or that refers to something else than itself."""
    try:
        return _flat(file, symbol.encode())
    except (struct.error, IndexError, ValueError):
        return None


def _flat(file: bytes, symbol: bytes) -> FlatCode | None:
    head = _HEAD.unpack_from(file)
    if not head[0].startswith(_ELF64_LITTLE) or head[1:3] != (_RELOCATABLE, _X86_64):
        return None
    sections = _sections(file, head[6], head[12], head[13])
    places: dict[int, int] = {}
    data = bytearray()
    for number, section in enumerate(sections):
        if not section.flags & _ALLOCATED or section.name.startswith(_UNWINDING):
            continue
        if section.type != _PROGBITS or section.alignment > ALIGNMENT:
            return None
        data += bytes(-len(data) % max(1, section.alignment))
        places[number] = len(data)
        data += _bytes_of(file, section)
    (symbols,) = (section for section in sections if section.type == _SYMTAB)
    table = list(_SYMBOL.iter_unpack(_bytes_of(file, symbols)))
    for section in sections:
        if section.type != _RELA or section.info not in places:
            continue
        if not _relocate(data, places, table, places[section.info], _bytes_of(file, section)):
            return None
    names = _bytes_of(file, sections[symbols.link])
    for name, _info, _other, place, value, _size in table:
        if names[name:].startswith(symbol + b"\0") and place in places:
            return FlatCode(bytes(data), places[place] + value)
    return None


def _relocate(
    data: bytearray,
    places: dict[int, int],
    symbols: list[tuple[int, ...]],
    start: int,
    relocations: bytes,
) -> bool:
    """Write the distances of a section that begins at `start`; False where there is something else."""
    for offset, info, addend in _RELOCATION.iter_unpack(relocations):
        _name, _info, _other, place, value, _size = symbols[info >> 32]
        if info & 0xFFFF_FFFF not in (_PC32, _PLT32) or place not in places:
            return False
        position = start + offset
        struct.pack_into("<i", data, position, places[place] + value + addend - position)
    return True


def _sections(file: bytes, start: int, count: int, names: int) -> list[_Section]:
    rows = [_SECTION.unpack_from(file, start + number * _SECTION.size) for number in range(count)]
    _, _, _, _, text, size, *_ = rows[names]
    strings = file[text : text + size]
    return [
        _Section(strings[row[0] : strings.index(b"\0", row[0])], row[1], row[2], *row[4:9]) for row in rows
    ]


def _bytes_of(file: bytes, section: _Section) -> bytes:
    """Raises ValueError for a section that reaches beyond the file."""
    data = file[section.offset : section.offset + section.size]
    if len(data) != section.size:
        raise ValueError("a section beyond the file")
    return data

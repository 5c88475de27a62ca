"""Object code of x86-64 without its file format: bytes that run wherever they lie together.

LLVM's modules here refer to nothing outside of themselves, and to themselves by distances. So a linker is not
needed: sections one behind the other, and the distances between them. Source: System V ABI for AMD64.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from xenon.errors import XenonError
from xenon.powerpc.elf import (
    MACHINE_X86_64,
    SECTION_ALLOCATED,
    SECTION_BYTES,
    SECTION_RELOCATIONS,
    SECTION_SYMBOLS,
    TYPE_RELOCATABLE,
    Elf,
    Relocation,
    Symbol,
)

ALIGNMENT = 64
"""Bytes: what code must begin at a multiple of."""
_PC32, _PLT32 = 2, 4
_UNWINDING = ".eh_frame"


class FlatCode(NamedTuple):
    """Bytes to be placed at a multiple of ALIGNMENT, and where in them the function begins."""

    data: bytes
    entry: int


def flat_code(file: bytes, symbol: str) -> FlatCode | None:
    """The code of an object file, for its function `symbol`; None for a file that is none of x86-64 in ELF,
    or that refers to something else than itself."""
    try:
        return _flat(Elf("object code", file), symbol)
    except (XenonError, struct.error, IndexError, ValueError):
        return None


def _flat(elf: Elf, symbol: str) -> FlatCode | None:
    kind = elf.bits, elf.order, elf.header.type, elf.header.machine
    if kind != (64, "little", TYPE_RELOCATABLE, MACHINE_X86_64):
        return None
    sections = elf.sections()
    places: dict[int, int] = {}
    data = bytearray()
    for section in sections:
        if not section.flags & SECTION_ALLOCATED or section.name.startswith(_UNWINDING):
            continue
        if section.type != SECTION_BYTES or section.alignment > ALIGNMENT:
            return None
        data += bytes(-len(data) % max(1, section.alignment))
        places[section.number] = len(data)
        data += elf.content(section)
    (table,) = (section for section in sections if section.type == SECTION_SYMBOLS)
    symbols = elf.symbol_entries(table, sections)
    for section in sections:
        if section.type == SECTION_RELOCATIONS and section.info in places:
            relocations = elf.relocations(section)
            if not _relocate(data, places, symbols, places[section.info], relocations):
                return None
    for entry in symbols:
        if entry.name == symbol and entry.section in places:
            return FlatCode(bytes(data), places[entry.section] + entry.value)
    return None


def _relocate(
    data: bytearray,
    places: dict[int, int],
    symbols: list[Symbol],
    start: int,
    relocations: Iterable[Relocation],
) -> bool:
    """Write the distances of a section that begins at `start`; False where there is something else."""
    for relocation in relocations:
        target = symbols[relocation.symbol]
        if relocation.type not in (_PC32, _PLT32) or target.section not in places:
            return False
        position = start + relocation.offset
        distance = places[target.section] + target.value + relocation.addend - position
        struct.pack_into("<i", data, position, distance)
    return True

"""Small ELF files for tests: one segment and section of code, symbol tables, in any class and byte order."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

CODE_ADDRESS = 0x10000
FUNCTION, UNTYPED = 2, 0
SECTION_NAMES = b"\0.text\0.symtab\0.strtab\0"


@dataclass(frozen=True)
class Label:
    """A symbol of the code; `name_offset` takes the place of the name's own position in the strings."""

    name: str
    address: int
    size: int = 0
    type: int = FUNCTION
    name_offset: int | None = None


def elf_file(
    code: bytes,
    labels: Sequence[Label] = (),
    bits: int = 64,
    order: str = "big",
    machine: int = 21,
    tables: int = 1,
    strings: bytes = b"",
) -> bytes:
    """A program whose code, at CODE_ADDRESS, begins with its entry; `tables` symbol tables share their bytes.

    `strings` stand behind the names of the symbols.
    """
    sign = ">" if order == "big" else "<"
    word = "Q" if bits == 64 else "I"
    names, symbols = SECTION_NAMES, b""
    for label in labels:
        offset = len(names) if label.name_offset is None else label.name_offset
        info = 0x10 | label.type
        if bits == 64:
            symbols += struct.pack(f"{sign}IBBHQQ", offset, info, 0, 1, label.address, label.size)
        else:
            symbols += struct.pack(f"{sign}IIIBBH", offset, label.address, label.size, info, 0, 1)
        names += label.name.encode() + b"\0" if label.name_offset is None else b""
    names += strings
    header = struct.Struct(f"{sign}16sHHI{3 * word}I6H")
    segment = struct.Struct(f"{sign}2I6Q" if bits == 64 else f"{sign}8I")
    section = struct.Struct(f"{sign}2I{4 * word}2I{2 * word}")
    start = header.size + segment.size
    symbols_offset, names_offset = start + len(code), start + len(code) + len(symbols)
    rows = [(0, 0, 0, 0, 0, 0, 0, 0, 0, 0), (1, 1, 6, CODE_ADDRESS, start, len(code), 0, 0, 4, 0)]
    rows += [(7, 2, 0, 0, symbols_offset, len(symbols), 2 + tables, 0, 8, 24 if bits == 64 else 16)] * tables
    rows += [(15, 3, 0, 0, names_offset, len(names), 0, 0, 1, 0)]
    ident = bytes([0x7F, *b"ELF", bits // 32, 2 if order == "big" else 1, 1]) + bytes(9)
    flags = 2 if machine == 21 else 0
    place = (CODE_ADDRESS, CODE_ADDRESS, len(code), len(code))
    return b"".join(
        [
            header.pack(
                *(ident, 2, machine, 1, CODE_ADDRESS, header.size, names_offset + len(names), flags),
                *(header.size, segment.size, 1, section.size, len(rows), len(rows) - 1),
            ),
            segment.pack(1, 5, start, *place, 4) if bits == 64 else segment.pack(1, start, *place, 5, 4),
            code,
            symbols,
            names,
            *(section.pack(*row) for row in rows),
        ]
    )

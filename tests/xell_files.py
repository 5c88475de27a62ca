"""Files for XeLL, for tests: an ELF64 program in an ELF32 container, and a stick with a boot menu; and what
the screen shows."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Protocol

import numpy as np

from scripts.tables import screen_font
from xenon.powerpc import elf
from xenon.powerpc.elf import Elf
from xenon.xell.console import XellConsole

HEADER, SEGMENT, SECTION = struct.Struct(">16sHHI3II6H"), struct.Struct(">8I"), struct.Struct(">10I")
SYMBOL = struct.Struct(">IIIBBH")
_SYMBOL_64 = struct.Struct(">IBBHQQ")
_SECTION_64 = struct.Struct(">2I4Q2I2Q")


class Stick(Protocol):
    """Makes a folder whose program does a task (see tests/xenon/programs/xell.c)."""

    def __call__(self, task: str, initrd: bytes | None = None) -> Path: ...


def as_elf32(data: bytes) -> bytes:
    """The same program with the same segments, sections and symbols behind headers of 32 bits."""
    source = Elf("program", data)
    header, segments, sections = source.header, source.program_headers(), source.sections()
    shift = -(-(HEADER.size + SEGMENT.size * len(segments)) // 128) * 128
    rows = b"".join(
        SEGMENT.pack(
            s.type, s.offset + shift, s.address, s.physical_address, s.file_size, s.memory_size, s.flags, 128
        )
        for s in segments
    )
    body, table = bytearray(data), b""
    for section in sections:
        name, kind, flags, address, offset, size, link, info, align, entry = _SECTION_64.unpack_from(
            data, section.header_offset
        )
        if kind == elf.SECTION_SYMBOLS:
            symbols = _SYMBOL_64.iter_unpack(data[offset : offset + size])
            converted = b"".join(SYMBOL.pack(n, v, z, i, o, s) for n, i, o, s, v, z in symbols)
            offset, size, entry = len(body), len(converted), SYMBOL.size
            body += converted
        table += SECTION.pack(
            name, kind, flags, address, offset + shift if kind else 0, size, link, info, align, entry
        )
    body += bytes(-len(body) % 4)
    ident = b"\x7fELF\1\2\1" + bytes(9)
    first = HEADER.pack(
        ident, 2, elf.MACHINE_POWERPC, 1, header.entry, HEADER.size, shift + len(body), 0, HEADER.size,
        SEGMENT.size, len(segments), SECTION.size, len(sections), header.names_section,
    )  # fmt: skip
    return (first + rows).ljust(shift, b"\0") + bytes(body) + table


def write_stick(folder: Path, program: bytes, bootargs: str = "", initrd: bytes | None = None) -> Path:
    """A folder with kboot.conf, the program and perhaps an initrd."""
    words = ["uda0:/xenon-llm.elf", *(["initrd=uda0:/model.bin"] if initrd is not None else []), bootargs]
    (folder / "xenon-llm.elf").write_bytes(program)
    if initrd is not None:
        (folder / "model.bin").write_bytes(initrd)
    (folder / "kboot.conf").write_bytes(f'#KBOOTCONFIG\ntimeout=5\nstory="{" ".join(words)}"\n'.encode())
    return folder


def screen_lines(console: XellConsole) -> list[str]:
    """The text on the screen, cell by cell, by comparing with the glyphs of the font."""
    pixels = console.picture()
    ink = pixels[:, :, 0] > 0x80
    height, width = ink.shape
    glyphs = {bytes(glyph): chr(code) for code, glyph in reversed(
        list(zip(screen_font.CHARACTERS, screen_font.font(), strict=True))
    )}  # fmt: skip
    cells = np.packbits(ink[: height // 16 * 16, : width // 8 * 8], axis=1)
    rows = cells.reshape(height // 16, 16, width // 8).transpose(0, 2, 1)
    return ["".join(glyphs[bytes(cell)] for cell in row).strip() for row in rows]

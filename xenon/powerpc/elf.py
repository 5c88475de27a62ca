"""ELF files of 32 and 64 bits in both byte orders (System V gABI, chapters 4 and 5).

Nothing in a file is trusted. Every offset and length is compared with the file before it is used. Work and
memory are linear in the size of the file, whatever the file claims.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple

from xenon.errors import XenonError

MAGIC = b"\x7fELF"
PROGRAM_HINT = (
    "a program is a static 64-bit big-endian PowerPC Linux executable, as made by: "
    "python -m ziglang cc -target powerpc64-linux-musl -mcpu=970-altivec -static"
)
_TRUNCATED_HINT = "the file is truncated: build or copy it again"

TYPE_RELOCATABLE, TYPE_EXECUTABLE, TYPE_POSITION_INDEPENDENT, TYPE_CORE = 1, 2, 3, 4
MACHINE_POWERPC, MACHINE_POWERPC64, MACHINE_X86_64 = 20, 21, 62
SEGMENT_LOAD, SEGMENT_DYNAMIC_LINKER, SEGMENT_STACK = 1, 3, 0x6474_E551
SEGMENT_EXECUTE, SEGMENT_WRITE, SEGMENT_READ = 1, 2, 4  # flags
SECTION_BYTES, SECTION_SYMBOLS, SECTION_RELOCATIONS = 1, 2, 4
SECTION_NO_BYTES, SECTION_DYNAMIC_SYMBOLS = 8, 11
SECTION_ALLOCATED, SECTION_EXECUTABLE, SECTION_COMPRESSED = 0x2, 0x4, 0x800  # flags
SYMBOL_UNTYPED, SYMBOL_FUNCTION, SYMBOL_INDIRECT_FUNCTION = 0, 2, 10

LONGEST_NAME = 1024
"""Bytes of a section's or symbol's name that are read; the rest is cut off."""

_MACHINES = {
    2: "SPARC", 3: "x86", 8: "MIPS", 20: "32-bit PowerPC", 21: "64-bit PowerPC", 22: "S/390", 40: "ARM",
    43: "SPARC64", 62: "x86-64", 183: "AArch64", 243: "RISC-V", 258: "LoongArch",
}  # fmt: skip

Bits = Literal[32, 64]
Order = Literal["big", "little"]


class ElfHeader(NamedTuple):
    """The ELF header: offsets, entry sizes and counts of the two tables are as the file claims them."""

    type: int
    machine: int
    entry: int
    flags: int
    segments_offset: int
    segment_bytes: int
    segment_count: int
    sections_offset: int
    section_bytes: int
    section_count: int
    names_section: int


class ProgramHeader(NamedTuple):
    """A segment: `file_size` bytes from `offset` belong at `address`, where it takes `memory_size` bytes; a
    loader without translation takes `physical_address`.

    `header_offset` is the position of this entry in the file.
    """

    number: int
    header_offset: int
    type: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int
    physical_address: int


class Section(NamedTuple):
    """A section header. `link` is, of a symbol table, the index of the section with its names, and `info`, of
    relocations, that of the section that they change. It begins at a multiple of `alignment` bytes."""

    number: int
    header_offset: int
    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int

    @property
    def executable(self) -> bool:
        """Whether the section holds machine code in the file."""
        return bool(self.flags & SECTION_EXECUTABLE) and self.type != SECTION_NO_BYTES


class Symbol(NamedTuple):
    """A symbol; `section` is an index into `Elf.sections()`, 0 for a symbol that the file does not define."""

    name: str
    type: int
    section: int
    value: int
    size: int


class Relocation(NamedTuple):
    """What a linker writes at `offset` of a section, by `type`, from an `addend` and the address of a symbol,
    the one with the index `symbol` in its table."""

    offset: int
    symbol: int
    type: int
    addend: int


class _Structures(NamedTuple):
    """The structures of ELF files with words of `bits` bits in one byte order."""

    bits: Bits
    header: struct.Struct
    segment: struct.Struct
    section: struct.Struct
    symbol: struct.Struct
    relocation: struct.Struct

    def program_header(self, data: memoryview, index: int, header_offset: int) -> ProgramHeader:
        if self.bits == 64:
            kind, flags, offset, address, physical, file_size, memory_size, _ = self.segment.unpack(data)
        else:
            kind, offset, address, physical, file_size, memory_size, flags, _ = self.segment.unpack(data)
        return ProgramHeader(
            index, header_offset, kind, flags, offset, address, file_size, memory_size, physical
        )

    def symbols(self, data: memoryview) -> Iterator[tuple[int, int, int, int, int]]:
        """(offset of the name, type, section, value, size) of each whole entry."""
        for fields in self.symbol.iter_unpack(data[: len(data) - len(data) % self.symbol.size]):
            if self.bits == 64:
                name, info, _, section, value, size = fields
            else:
                name, value, size, info, _, section = fields
            yield name, info & 0xF, section, value, size


@cache
def _structures(bits: Bits, order: Order) -> _Structures:
    sign = ">" if order == "big" else "<"
    word = "Q" if bits == 64 else "I"
    return _Structures(
        bits,
        header=struct.Struct(f"{sign}16sHHI{3 * word}I6H"),
        segment=struct.Struct(f"{sign}2I6Q" if bits == 64 else f"{sign}8I"),
        section=struct.Struct(f"{sign}2I{4 * word}2I{2 * word}"),
        symbol=struct.Struct(f"{sign}IBBHQQ" if bits == 64 else f"{sign}IIIBBH"),
        relocation=struct.Struct(f"{sign}2{word}{word.lower()}"),
    )


class Elf:
    """An ELF file in memory, called `name` in messages. Methods raise XenonError for a damaged file."""

    def __init__(self, name: str, image: bytes) -> None:
        """Read the header. Raises XenonError for bytes that are not an ELF file."""
        self.name = name
        self.image = memoryview(image)
        if not image.startswith(MAGIC):
            start = f"bytes {image[:4].hex(' ')}" if image else "an empty file"
            raise XenonError(
                f"{name}: byte 0: found {start}, expected an ELF program (7f 45 4c 46)", PROGRAM_HINT
            )
        self.bits: Bits = 32 if image[4:5] == b"\1" else 64
        self.order: Order = "little" if image[5:6] == b"\1" else "big"
        self._structures = _structures(self.bits, self.order)
        size = self._structures.header.size
        if len(image) < size:
            raise XenonError(
                f"{name}: ends after {len(image)} bytes, inside the ELF header of {size}", _TRUNCATED_HINT
            )
        if image[4] not in (1, 2) or image[5] not in (1, 2):
            raise XenonError(
                f"{name}: byte 4: found class {image[4]}, byte order {image[5]}, expected 2 and 2",
                PROGRAM_HINT,
            )
        self.header = self._header()

    @property
    def machine_name(self) -> str:
        return _MACHINES.get(self.header.machine, f"machine {self.header.machine}")

    @property
    def program_header_bytes(self) -> int:
        """The size of one program header."""
        return self._structures.segment.size

    def bytes_at(self, offset: int, size: int, what: str) -> memoryview:
        """`size` bytes from `offset`; raises XenonError about `what` where the file is shorter."""
        if offset + size > len(self.image):
            raise XenonError(
                f"{self.name}: truncated: {what} ends at byte {offset + size} of {len(self.image)}",
                _TRUNCATED_HINT,
            )
        return self.image[offset : offset + size]

    def program_headers(self) -> list[ProgramHeader]:
        """The segments, in the order of the file. Their bytes may lie outside of the file."""
        header, size = self.header, self._structures.segment.size
        self._check_entry_size("program headers", header.segment_count, header.segment_bytes, size)
        table = self.bytes_at(header.segments_offset, header.segment_count * size, "the program header table")
        return [
            self._structures.program_header(
                table[index * size : (index + 1) * size], index, header.segments_offset + index * size
            )
            for index in range(header.segment_count)
        ]

    def sections(self) -> list[Section]:
        """The section headers, in the order of the file. Their bytes may lie outside of the file."""
        header, structure = self.header, self._structures.section
        self._check_entry_size("section headers", header.section_count, header.section_bytes, structure.size)
        size = header.section_count * structure.size
        rows = list(
            structure.iter_unpack(self.bytes_at(header.sections_offset, size, "the section header table"))
        )
        names = self.image[:0]
        if header.names_section < len(rows):
            _, kind, _, _, offset, length, *_ = rows[header.names_section]
            if kind != SECTION_NO_BYTES:
                names = self.bytes_at(offset, length, f"section {header.names_section}")
        start, entry_size = header.sections_offset, structure.size
        return [
            Section(index, start + index * entry_size, _text(names, name), *fields)
            for index, (name, *fields, _) in enumerate(rows)
        ]

    def content(self, section: Section) -> memoryview:
        """The bytes of a section; none for a section that has no bytes in the file."""
        if section.type == SECTION_NO_BYTES:
            return self.image[:0]
        return self.bytes_at(section.offset, section.size, f"section {section.number}")

    def symbols(self, sections: list[Section]) -> Iterator[Symbol]:
        """The named symbols of all symbol tables that the sections of this file define.

        A damaged symbol table yields fewer symbols, no error. Where tables or names together are larger
        than the file, they share bytes; the symbols beyond its size are left out.
        """
        left = name_bytes_left = len(self.image)
        for table in sections:
            if table.type not in (SECTION_SYMBOLS, SECTION_DYNAMIC_SYMBOLS) or table.link >= len(sections):
                continue
            left -= table.size
            if left < 0:
                return
            try:
                data, strings = self.content(table), self.content(sections[table.link])
            except XenonError:
                continue
            texts: dict[int, str] = {}
            for offset, kind, section, value, size in self._structures.symbols(data):
                if not 0 < section < len(sections):
                    continue
                name = texts.get(offset)
                if name is None:
                    name = texts[offset] = _text(strings, offset)
                    name_bytes_left -= len(name)
                    if name_bytes_left < 0:
                        return
                if name:
                    yield Symbol(name, kind, section, value, size)

    def symbol_entries(self, table: Section, sections: list[Section]) -> list[Symbol]:
        """All symbols of a table in its order, those without a name and those defined elsewhere too: what
        relocations count. Raises XenonError for a table or names beyond the file."""
        if table.link >= len(sections):
            raise XenonError(f"{self.name}: the names of section {table.number} are in none of its sections")
        data, strings = self.content(table), self.content(sections[table.link])
        return [
            Symbol(_text(strings, offset), kind, section, value, size)
            for offset, kind, section, value, size in self._structures.symbols(data)
        ]

    def relocations(self, section: Section) -> Iterator[Relocation]:
        """The whole entries of a section of relocations with addends. Raises XenonError for one beyond the
        file."""
        structure, data = self._structures.relocation, self.content(section)
        shift = 32 if self.bits == 64 else 8
        for offset, info, addend in structure.iter_unpack(data[: len(data) - len(data) % structure.size]):
            yield Relocation(offset, info >> shift, info & ((1 << shift) - 1), addend)

    def _header(self) -> ElfHeader:
        structure = self._structures.header
        _, kind, machine, _, entry, segments, sections, flags, _, *table_fields = structure.unpack(
            self.image[: structure.size]
        )
        segment_bytes, segment_count, section_bytes, section_count, names = table_fields
        return ElfHeader(
            type=kind,
            machine=machine,
            entry=entry,
            flags=flags,
            segments_offset=segments,
            segment_bytes=segment_bytes,
            segment_count=segment_count,
            sections_offset=sections,
            section_bytes=section_bytes,
            section_count=section_count,
            names_section=names,
        )

    def _check_entry_size(self, what: str, count: int, size: int, expected: int) -> None:
        if count and size != expected:
            raise XenonError(f"{self.name}: found {what} of {size} bytes, expected {expected}")


def _text(strings: memoryview, offset: int) -> str:
    """The zero-terminated name at an offset; empty where the offset lies outside of the strings.

    A character that cannot be printed, which could command a terminal, becomes U+FFFD, as bad UTF-8 does.
    """
    text = bytes(strings[offset : offset + LONGEST_NAME]).split(b"\0", 1)[0].decode("utf-8", "replace")
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\ufffd" for character in text)

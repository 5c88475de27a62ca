"""The ELF32 file that either generation of XeLL loads: 64-bit code in a 32-bit container.

The new loader reads program headers and takes p_paddr, the old one reads section headers and takes sh_addr;
both want class 32. So every part has both, with the same addresses, and no part is larger in memory than in
the file. Nothing depends on time or place: the same parts give the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from xenon.errors import XenonError
from xenon.pack.limits import IMAGE_BASE, IMAGE_END
from xenon.powerpc.elf import MACHINE_POWERPC, MAGIC, SEGMENT_LOAD, TYPE_EXECUTABLE, Elf, Symbol

_HEADER = struct.Struct(">16sHHIIIIIHHHHHH")
_SEGMENT = struct.Struct(">8I")
_SECTION = struct.Struct(">10I")
_SYMBOL = struct.Struct(">IIIBBH")
_IDENTIFICATION = MAGIC + bytes((1, 2, 1))  # 32 bits, big-endian, version 1
_PAGE = 0x1000
_BITS, _SYMBOLS, _STRINGS = 1, 2, 3  # types of sections
_WRITE, _ALLOCATE, _EXECUTE = 1, 2, 4  # flags of sections
_FUNCTION = 0x12  # a global function

PROGRAM_MAGIC = b"XLLMPRG1"
_MAGIC_OFFSET, _FILES_OFFSET = 0x18, 0x20  # llama2c/src/xell_start.S
_FILES = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True)
class ImagePart:
    """Bytes that belong at `address`; `segment_flags` and `section_flags` are ELF's."""

    name: str
    address: int
    data: bytes
    segment_flags: int
    section_flags: int

    @property
    def end(self) -> int:
        return self.address + len(self.data)


@dataclass(frozen=True, slots=True)
class BareProgram:
    """The guest for bare metal as it lies in memory from `address`, with its functions."""

    address: int
    entry: int
    image: bytes
    functions: tuple[Symbol, ...]

    @property
    def files_address(self) -> int:
        """Where its archive goes: the next page."""
        return page_up(self.address + len(self.image))

    def with_files(self, address: int, size: int) -> bytes:
        """The image, told where its archive is."""
        data = bytearray(self.image)
        _FILES.pack_into(data, self.entry - self.address + _FILES_OFFSET, address, size)
        return bytes(data)


def page_up(address: int) -> int:
    """The first page at this address or above."""
    return -(-address // _PAGE) * _PAGE


def read_guest(name: str, data: bytes) -> BareProgram:
    """The program that llama2c.build.build_xell_guest makes. Raises XenonError for another file."""
    elf = Elf(name, data)
    loaded = [segment for segment in elf.program_headers() if segment.type == SEGMENT_LOAD]
    if elf.bits != 64 or len(loaded) != 1 or loaded[0].address < IMAGE_BASE:
        raise XenonError(f"{name}: not the program that is packed", "install the package again")
    segment = loaded[0]
    if segment.memory_size > IMAGE_END or segment.file_size > segment.memory_size:
        raise XenonError(f"{name}: a program of {segment.memory_size} bytes", "install the package again")
    image = bytes(elf.bytes_at(segment.offset, segment.file_size, "the program"))
    image = image.ljust(segment.memory_size, b"\0")
    start = elf.header.entry - segment.address
    if image[start + _MAGIC_OFFSET :][:8] != PROGRAM_MAGIC or start < 0:
        raise XenonError(f"{name}: not the program that is packed", "install the package again")
    symbols = elf.symbols(elf.sections())
    functions = tuple(sorted((s for s in symbols if s.type == 2), key=lambda s: (s.value, s.name)))
    return BareProgram(segment.address, elf.header.entry, image, functions)


def files_of(elf: Elf) -> tuple[int, int] | None:
    """Address and bytes of the archive in a packed program, (0, 0) for none; None for another ELF file."""
    if elf.bits != 32 or elf.order != "big":
        return None
    for segment in elf.program_headers():
        place = segment.offset + elf.header.entry - segment.address
        inside = segment.address <= elf.header.entry < segment.address + segment.file_size
        if segment.type == SEGMENT_LOAD and inside:
            start = bytes(elf.image[place : place + _FILES_OFFSET + _FILES.size])
            if start[_MAGIC_OFFSET:_FILES_OFFSET] == PROGRAM_MAGIC and len(start) > _FILES_OFFSET:
                address, size = _FILES.unpack_from(start, _FILES_OFFSET)
                return address, size
    return None


def container(program: BareProgram, archive: bytes) -> bytes:
    """The program, and its archive behind it unless that is empty, as one ELF32 file."""
    address = program.files_address if archive else 0
    image = program.with_files(address, len(archive))
    parts = [ImagePart(".program", program.address, image, 7, _ALLOCATE | _WRITE | _EXECUTE)]
    if archive:
        parts.append(ImagePart(".files", address, archive, 4, _ALLOCATE))
    return write_elf(program.entry, parts, program.functions)


def write_elf(entry: int, parts: Sequence[ImagePart], functions: Sequence[Symbol] = ()) -> bytes:
    """An ELF32 file of these parts, which lie in order and apart; `functions` belong to the first."""
    file = bytearray(_HEADER.size + len(parts) * _SEGMENT.size)
    names, sections = _NameTable(), [_SECTION.pack(*[0] * 10)]
    for index, part in enumerate(parts):
        file += bytes(page_up(len(file)) - len(file))
        offset, size = len(file), len(part.data)
        file += part.data
        _SEGMENT.pack_into(
            file,
            _HEADER.size + index * _SEGMENT.size,
            *(SEGMENT_LOAD, offset, part.address, part.address, size, size, part.segment_flags, _PAGE),
        )
        name = names.add(part.name)
        sections.append(
            _SECTION.pack(name, _BITS, part.section_flags, part.address, offset, size, 0, 0, _PAGE, 0)
        )
    texts = _NameTable()
    symbols = _SYMBOL.pack(0, 0, 0, 0, 0, 0)
    for symbol in functions:
        symbols += _SYMBOL.pack(texts.add(symbol.name), symbol.value, symbol.size, _FUNCTION, 0, 1)
    strings = len(sections) + 1
    for label, kind, data, link, information, entry_size in (
        (".symtab", _SYMBOLS, symbols, strings, 1, _SYMBOL.size),
        (".strtab", _STRINGS, bytes(texts.bytes), 0, 0, 0),
        (".shstrtab", _STRINGS, names.with_all(".symtab", ".strtab", ".shstrtab"), 0, 0, 0),
    ):
        file += bytes(-len(file) % 4)
        name = names.add(label)
        sections.append(
            _SECTION.pack(name, kind, 0, 0, len(file), len(data), link, information, 4, entry_size)
        )
        file += data
    file += bytes(-len(file) % 4)
    _HEADER.pack_into(
        file,
        0,
        *(_IDENTIFICATION.ljust(16, b"\0"), TYPE_EXECUTABLE, MACHINE_POWERPC, 1, entry, _HEADER.size),
        *(len(file), 0, _HEADER.size, _SEGMENT.size, len(parts), _SECTION.size, len(sections)),
        len(sections) - 1,
    )
    return bytes(file) + b"".join(sections)


class _NameTable:
    """A table of zero-terminated names, each once."""

    def __init__(self) -> None:
        self.bytes = bytearray(1)
        self._offsets = {"": 0}

    def add(self, name: str) -> int:
        """The offset of a name."""
        if name not in self._offsets:
            self._offsets[name] = len(self.bytes)
            self.bytes += name.encode() + b"\0"
        return self._offsets[name]

    def with_all(self, *names: str) -> bytes:
        """The table with these names in it as well."""
        for name in names:
            self.add(name)
        return bytes(self.bytes)

"""A program file as XeLL's loaders check and place it: ELF32, whatever code is inside. Nothing is trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xenon.errors import XenonError
from xenon.hardware.memory_map import MIB, RAM_BYTES, Range, in_units
from xenon.input_file import InputFile
from xenon.powerpc import elf
from xenon.powerpc.elf import Elf
from xenon.powerpc.functions import Functions, read_functions
from xenon.xell.layout import (
    ARGUMENTS_AT,
    CACHED_VIEW,
    LARGEST_FILE,
    PAGE_TABLE_END,
    PLACES,
    Loader,
)

_ALLOCATED = 0x2  # flag of a section that takes memory
_LOADED = (elf.SEGMENT_LOAD, 2, 4)  # and PT_DYNAMIC, PT_NOTE
_GZIP = b"\x1f\x8b"
_INSTRUCTION_BYTES = 4
_PROGRAM_HINT = "a program for XeLL is a big-endian ELF32 file: xenon-llm pack makes one"
_HINT = "wrap it: powerpc64-linux-gnu-objcopy -O elf32-powerpc PROGRAM xenon.elf"
_LINK_HINT = (
    "link it low, with p_paddr = p_vaddr: zig cc -Wl,--image-base=0x10000, GNU ld -Wl,-Ttext-segment=0x10000"
)


@dataclass(frozen=True, slots=True)
class Block:
    """`size` bytes at a physical address: those of the file, then zeros."""

    what: str
    address: int
    size: int
    data: memoryview = field(repr=False)

    @property
    def end(self) -> int:
        return self.address + self.size


@dataclass(frozen=True, slots=True)
class BootImage:
    """A program that a loader takes, with its blocks in the order of the file."""

    name: str
    elf: Elf = field(repr=False, compare=False)
    entry: int
    blocks: tuple[Block, ...]

    @property
    def end(self) -> int:
        return max(block.end for block in self.blocks)

    def functions(self) -> Functions:
        """The named functions of the program."""
        extents = [(block.address, block.address + len(block.data)) for block in self.blocks]
        return read_functions(self.elf, extents)


def read_program_file(path: Path, name: str) -> bytes:
    """The bytes of a program, called `name` in messages. Raises XenonError for one that is too large."""
    with InputFile(path, _HINT) as file:
        if file.size >= LARGEST_FILE:
            raise XenonError(
                f"{name}: has {file.size} bytes, XeLL takes fewer than {LARGEST_FILE} "
                f"({in_units(LARGEST_FILE)})"
            )
        return file.read(LARGEST_FILE // MIB * MIB, "a program")


def parse_image(name: str, data: bytes, loader: Loader) -> BootImage:
    """Check the bytes of a program as a loader does, and for what would break it. Raises XenonError, which
    names the rule."""
    if data.startswith(_GZIP):
        raise XenonError(
            f"{name}: byte 0: is compressed by gzip, and unpacking would overrun XeLL's memory", "unpack it"
        )
    try:
        file = Elf(name, data)
    except XenonError as error:
        raise XenonError(error.message, _PROGRAM_HINT) from error
    if file.order != "big":
        raise XenonError(f"{name}: byte 5: is little-endian, expected big-endian", _PROGRAM_HINT)
    if file.header.machine not in (elf.MACHINE_POWERPC, elf.MACHINE_POWERPC64):
        raise XenonError(
            f"{name}: byte 18: is a program for {file.machine_name}, expected PowerPC", _PROGRAM_HINT
        )
    if file.bits != 32:
        raise XenonError(f"{name}: byte 4: is ELF64 (class 2), XeLL takes ELF32 (class 1) only", _HINT)
    places = PLACES[loader]
    if len(data) > places.argv - places.file:
        raise XenonError(
            f"{name}: has {len(data)} bytes, expected at most {places.argv - places.file}: the "
            f"{loader.value} loader keeps the arguments behind its copy of the file"
        )
    blocks = tuple(_segments(file) if loader is Loader.NEW else _sections(file))
    if not blocks:
        table = "segments" if loader is Loader.NEW else "sections"
        raise XenonError(
            f"{name}: has no {table} to load, and the {loader.value} loader goes by them alone", _HINT
        )
    for block in blocks:
        _check_place(name, block, loader)
    if (total := sum(block.size for block in blocks)) > RAM_BYTES:
        raise XenonError(f"{name}: its parts overlap: {in_units(total)} to load into {in_units(RAM_BYTES)}")
    image = BootImage(name, file, file.header.entry, blocks)
    _check_entry(image)
    return image


def _segments(file: Elf) -> Iterator[Block]:
    """What the new loader copies: by physical addresses, each segment whole in the file."""
    for header in file.program_headers():
        what = f"segment {header.number}"
        data = file.bytes_at(header.offset, header.file_size, what)
        if header.type not in _LOADED or header.memory_size == 0:
            continue
        if header.file_size > header.memory_size:
            raise XenonError(
                f"{file.name}: byte {header.header_offset}: {what} has {header.file_size} bytes in the file, "
                f"{header.memory_size} in RAM"
            )
        yield Block(what, header.physical_address, header.memory_size, data)


def _sections(file: Elf) -> Iterator[Block]:
    """What the old loader copies: every section that takes memory."""
    low = 0
    for section in file.sections():
        if not section.flags & _ALLOCATED or not section.size:
            continue
        address = section.address & ~CACHED_VIEW
        low += address < PAGE_TABLE_END
        if address < PAGE_TABLE_END and (low > 1 or address + section.size < PAGE_TABLE_END):
            raise XenonError(
                f"{file.name}: section {section.number} begins at 0x{address:x}: the old loader stops with "
                f"!PT at a section below 0x{PAGE_TABLE_END:x}, unless a single one covers all of that",
                "link it at 0x10000 or higher",
            )
        data = file.content(section)
        yield Block(f"section {section.number} {section.name}".rstrip(), address, section.size, data)


def _check_place(name: str, block: Block, loader: Loader) -> None:
    places = PLACES[loader]
    found = f"{name}: {block.what} lies at 0x{block.address:x} to 0x{block.end:x}"
    if loader is Loader.NEW and block.address >= CACHED_VIEW:
        raise XenonError(
            f"{found}: the new loader takes physical addresses, and crashes on those from 0x80000000 on",
            _LINK_HINT,
        )
    if block.end > places.image.end:
        raise XenonError(
            f"{found}, expected an end of at most 0x{places.image.end:x}: the {loader.value} loader keeps "
            "other things behind it",
            "let the program take memory from free RAM instead of .bss",
        )
    for part in places.working:
        check_apart(name, block, part, loader)


def check_apart(name: str, block: Block, part: Range, loader: Loader) -> None:
    """Raises XenonError for a block that overlaps what the loader keeps in RAM."""
    if block.address < part.end and part.start < block.end:
        raise XenonError(
            f"{name}: {block.what} lies at 0x{block.address:x} to 0x{block.end:x}: overlaps the "
            f"{loader.value} loader's {part.purpose} (0x{part.start:x} to 0x{part.end:x})",
            _LINK_HINT,
        )


def _check_entry(image: BootImage) -> None:
    entry = image.entry
    if entry == 0:
        raise XenonError(f"{image.name}: byte 24: the entry point is 0, to XeLL none", _LINK_HINT)
    if entry % _INSTRUCTION_BYTES:
        raise XenonError(f"{image.name}: byte 24: entry point 0x{entry:x}, expected a multiple of 4")
    arguments_end = entry + ARGUMENTS_AT + 12
    if not any(
        block.address <= entry and arguments_end <= block.address + len(block.data) for block in image.blocks
    ):
        raise XenonError(
            f"{image.name}: byte 24: the {arguments_end - entry} bytes from entry point 0x{entry:x} on, "
            "where XeLL writes the arguments, are outside of the program",
            "the entry point is a low physical address",
        )

"""A program file: ELF64 for big-endian PowerPC (ELF ABI v1 and v2). Nothing in it is trusted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from xenon.errors import XenonError
from xenon.hardware.cpu import Protection
from xenon.hardware.memory_map import in_units
from xenon.input_file import InputFile
from xenon.linux.layout import PROGRAM
from xenon.powerpc import elf
from xenon.powerpc.abi import DESCRIPTOR_BYTES, INSTRUCTION_BYTES, abi_version, descriptor
from xenon.powerpc.elf import PROGRAM_HINT, Elf
from xenon.powerpc.functions import Extent, Functions, read_functions

_TYPES = {elf.TYPE_RELOCATABLE: "a relocatable object", elf.TYPE_CORE: "a core dump"}
_FLAGS = (
    (elf.SEGMENT_EXECUTE, Protection.EXECUTE),
    (elf.SEGMENT_WRITE, Protection.WRITE),
    (elf.SEGMENT_READ, Protection.READ),
)
_MOST_SEGMENTS = 128
_LARGEST_FILE = 512 << 20  # all of the console's RAM

DEFAULT_STACK_BYTES = 8 << 20
SMALLEST_STACK_BYTES = 64 << 10
LARGEST_STACK_BYTES = 64 << 20


class LoadSegment(NamedTuple):
    """Bytes of the file, from `offset`, that belong at an address; `size` in memory is `len(data)` or more,
    the rest zero."""

    address: int
    size: int
    offset: int
    data: memoryview
    protection: Protection

    @property
    def end(self) -> int:
        return self.address + self.size


class Program(NamedTuple):
    """A checked program.

    `entry` is the address of the first instruction, `entry_point` what the header says (the same in ABI v2, a
    descriptor in v1), `toc` what r2 starts with, all before the load address of a `movable` program is added;
    `abi` is 1 or 2; `headers` is the address of the program headers in memory, 0 when no segment holds them.
    """

    name: str
    elf: Elf
    abi: int
    entry: int
    entry_point: int
    toc: int
    headers: int
    header_count: int
    segments: tuple[LoadSegment, ...]
    stack_bytes: int
    movable: bool

    @property
    def code(self) -> tuple[Extent, ...]:
        """Where the file has machine code, before the load address is added."""
        return tuple(
            (segment.address, segment.address + len(segment.data))
            for segment in self.segments
            if segment.protection & Protection.EXECUTE
        )

    def functions(self, base: int = 0) -> Functions:
        """The named functions of the program when it is loaded at `base`."""
        return read_functions(self.elf, self.code, base)


def read_program(path: Path | str, name: str | None = None) -> Program:
    """Read and check a program file; messages call it `name`, else by its path. Raises XenonError."""
    return parse_program(name or str(path), read_image(path))


def read_image(path: Path | str) -> bytes:
    """The bytes of an ELF file; of any other file the first few, for the message that refuses it.

    Raises XenonError for what is not a regular file, cannot be read, or is larger than a program may be.
    """
    with InputFile(path, PROGRAM_HINT) as file:
        head = file.head(len(elf.MAGIC))
        return file.read(_LARGEST_FILE, "a program") if head == elf.MAGIC else head


def parse_program(name: str, image: bytes) -> Program:
    """Check the bytes of a program. Raises XenonError with what was found and what was expected."""
    file = Elf(name, image)
    check_kind(file)
    abi = abi_version(file.header.flags)
    if abi == 3:
        raise XenonError(f"{name}: byte 48: found ABI version 3, expected 1 or 2")
    count = file.header.segment_count
    if not 0 < count <= _MOST_SEGMENTS:
        raise XenonError(f"{name}: byte 56: found {count} program headers, expected 1 to {_MOST_SEGMENTS}")
    headers = file.program_headers()
    segments = _load_segments(file, headers)
    if any(header.type == elf.SEGMENT_DYNAMIC_LINKER for header in headers):
        raise XenonError(f"{name}: is dynamically linked, expected a static program", "link it with -static")
    if not segments:
        raise XenonError(f"{name}: has nothing to load, expected at least one segment", PROGRAM_HINT)
    movable = file.header.type == elf.TYPE_POSITION_INDEPENDENT
    _check_placement(name, segments, movable)
    entry, toc = file.header.entry, 0
    if abi == 1:
        data = _bytes_at(segments, entry, DESCRIPTOR_BYTES)
        if data is None:
            raise XenonError(f"{name}: entry point 0x{entry:x} is outside of the file's segments")
        entry, toc = descriptor(data)
    if entry % INSTRUCTION_BYTES or not any(
        segment.address <= entry < segment.end and segment.protection & Protection.EXECUTE
        for segment in segments
    ):
        raise XenonError(f"{name}: entry point 0x{entry:x} is outside of the program's code")
    return Program(
        name=name,
        elf=file,
        abi=abi,
        entry=entry,
        entry_point=file.header.entry,
        toc=toc,
        headers=_headers_address(file, segments),
        header_count=count,
        segments=tuple(segments),
        stack_bytes=_stack_bytes(headers),
        movable=movable,
    )


def check_kind(file: Elf) -> None:
    """Raises XenonError unless a file is a linked big-endian 64-bit PowerPC program."""
    name, header = file.name, file.header
    if header.machine == elf.MACHINE_POWERPC and file.order == "big":
        raise XenonError(
            f"{name}: byte 18: is a 32-bit PowerPC program (as libxenon makes), expected a 64-bit one",
            PROGRAM_HINT,
        )
    if header.machine != elf.MACHINE_POWERPC64:
        raise XenonError(
            f"{name}: byte 18: is a program for {file.machine_name}, expected 64-bit big-endian PowerPC",
            PROGRAM_HINT,
        )
    if file.bits != 64:
        raise XenonError(f"{name}: byte 4: is a 32-bit program: class 1, expected 2 (64-bit)", PROGRAM_HINT)
    if file.order != "big":
        raise XenonError(
            f"{name}: byte 5: is little-endian (ppc64le), expected big-endian PowerPC", PROGRAM_HINT
        )
    if header.type not in (elf.TYPE_EXECUTABLE, elf.TYPE_POSITION_INDEPENDENT):
        what = _TYPES.get(header.type, f"of type {header.type}")
        raise XenonError(f"{name}: byte 16: is {what}, expected an executable", PROGRAM_HINT)


def _load_segments(file: Elf, headers: Sequence[elf.ProgramHeader]) -> list[LoadSegment]:
    """The segments to load, in the order of addresses."""
    segments: list[LoadSegment] = []
    for header in headers:
        if header.type != elf.SEGMENT_LOAD or header.memory_size == 0:
            continue
        if header.file_size > header.memory_size:
            raise XenonError(
                f"{file.name}: byte {header.header_offset}: segment {header.number} has "
                f"{header.file_size} bytes in the file, {header.memory_size} in RAM"
            )
        data = file.bytes_at(header.offset, header.file_size, f"segment {header.number}")
        segments.append(
            LoadSegment(header.address, header.memory_size, header.offset, data, _protection(header.flags))
        )
    return sorted(segments, key=lambda segment: segment.address)


def _stack_bytes(headers: Sequence[elf.ProgramHeader]) -> int:
    """The stack that a program asks for, within bounds; the last request counts."""
    sizes = [header.memory_size for header in headers if header.type == elf.SEGMENT_STACK]
    asked = next((size for size in reversed(sizes) if size), DEFAULT_STACK_BYTES)
    return min(max(asked, SMALLEST_STACK_BYTES), LARGEST_STACK_BYTES)


def _headers_address(file: Elf, segments: Sequence[LoadSegment]) -> int:
    """The address of the program headers in memory, 0 where no segment holds all of them."""
    start = file.header.segments_offset
    end = start + file.header.segment_count * file.program_header_bytes
    for segment in segments:
        if segment.offset <= start and end <= segment.offset + len(segment.data):
            return segment.address + start - segment.offset
    return 0


def _check_placement(name: str, segments: Sequence[LoadSegment], movable: bool) -> None:
    """Raise XenonError unless the segments fit into the program's RAM side by side."""
    span = segments[-1].end - segments[0].address
    if max(span, *(segment.size for segment in segments)) > PROGRAM.size:
        raise XenonError(
            f"{name}: needs {in_units(max(span, segments[-1].size))} of memory, "
            f"the console has {in_units(PROGRAM.size)}"
        )
    for low, high in pairwise(segments):
        if low.end > high.address:
            raise XenonError(f"{name}: segments overlap at 0x{high.address:x}")
    for segment in segments:
        if not movable and not PROGRAM.start <= segment.address <= segment.end <= PROGRAM.end:
            raise XenonError(
                f"{name}: segment 0x{segment.address:x} to 0x{segment.end:x} is outside of RAM "
                f"(0x{PROGRAM.start:x} to 0x{PROGRAM.end:x})",
                "link it at a lower address: "
                "zig cc -Wl,--image-base=0x1000000, GNU ld -Wl,-Ttext-segment=0x1000000",
            )


def _protection(flags: int) -> Protection:
    protection = Protection.NONE
    for flag, right in _FLAGS:
        if flags & flag:
            protection |= right
    return protection


def _bytes_at(segments: Sequence[LoadSegment], address: int, size: int) -> memoryview | None:
    for segment in segments:
        start = address - segment.address
        if 0 <= start <= len(segment.data) - size:
            return segment.data[start : start + size]
    return None

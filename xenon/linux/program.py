"""A program file: ELF64 for big-endian PowerPC (ELF ABI v1 and v2). Nothing in it is trusted."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from xenon.errors import XenonError
from xenon.hardware.cpu import Protection
from xenon.hardware.memory_map import PROGRAM, in_units

_HEADER = struct.Struct(">16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct(">IIQQQQQQ")
_DESCRIPTOR = struct.Struct(">QQ")  # ABI v1: address of the code, table of contents

_MAGIC = b"\x7fELF"
_CLASSES = {1: "32-bit", 2: "64-bit"}
_TYPE_EXECUTABLE, _TYPE_POSITION_INDEPENDENT = 2, 3
_TYPES = {1: "a relocatable object", 4: "a core dump"}
_MACHINE_POWERPC64 = 21
_MACHINES = {
    2: "SPARC", 3: "x86", 8: "MIPS", 20: "32-bit PowerPC", 22: "S/390", 40: "ARM", 43: "SPARC64",
    62: "x86-64", 183: "AArch64", 243: "RISC-V", 258: "LoongArch",
}  # fmt: skip
_SEGMENT_LOAD, _SEGMENT_DYNAMIC_LINKER, _SEGMENT_STACK = 1, 3, 0x6474_E551
_FLAGS = ((1, Protection.EXECUTE), (2, Protection.WRITE), (4, Protection.READ))
_ABI_MASK = 3
_MOST_SEGMENTS = 128
_LARGEST_FILE = 2 << 30

DEFAULT_STACK_BYTES = 8 << 20
SMALLEST_STACK_BYTES = 64 << 10
LARGEST_STACK_BYTES = 64 << 20

_HINT = (
    "a program is a static 64-bit big-endian PowerPC Linux executable, as made by: "
    "python -m ziglang cc -target powerpc64-linux-musl -mcpu=970 -static"
)


@dataclass(frozen=True, slots=True)
class Segment:
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


@dataclass(frozen=True, slots=True)
class Program:
    """A checked program.

    `entry` is the address of the first instruction, `entry_point` what the header says (the same in ABI v2, a
    descriptor in v1), `toc` what r2 starts with, all before the load address of a `movable` program is added;
    `abi` is 1 or 2; `headers` is the address of the program headers in memory, 0 when no segment holds them.
    """

    name: str
    image: bytes
    abi: int
    entry: int
    entry_point: int
    toc: int
    headers: int
    header_count: int
    segments: tuple[Segment, ...]
    stack_bytes: int
    movable: bool


def read_program(path: Path | str, name: str | None = None) -> Program:
    """Read and check a program file; messages call it `name`, else by its path. Raises XenonError."""
    file = Path(path)
    try:
        if file.is_dir():
            raise XenonError(f"{path}: is a directory", _HINT)
        with file.open("rb") as stream:
            head = stream.read(len(_MAGIC))
            size = file.stat().st_size
            if head == _MAGIC and size > _LARGEST_FILE:
                raise XenonError(
                    f"{path}: {in_units(size)}, expected a program of at most {in_units(_LARGEST_FILE)}"
                )
            image = head + stream.read() if head == _MAGIC else head
    except OSError as error:
        raise XenonError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    return parse_program(name or str(path), image)


def parse_program(name: str, image: bytes) -> Program:
    """Check the bytes of a program. Raises XenonError with what was found and what was expected."""
    kind, machine_flags, entry_point, table, count = _check_header(name, image)
    segments, interpreted, stack_bytes = _read_segments(name, image, table, count)
    if interpreted:
        raise XenonError(f"{name}: is dynamically linked, expected a static program", "link it with -static")
    if not segments:
        raise XenonError(f"{name}: has nothing to load, expected at least one segment", _HINT)
    movable = kind == _TYPE_POSITION_INDEPENDENT
    _check_placement(name, segments, movable)
    abi = 2 if machine_flags & _ABI_MASK == 2 else 1
    entry, toc = entry_point, 0
    if abi == 1:
        descriptor = _bytes_at(segments, entry_point, _DESCRIPTOR.size)
        if descriptor is None:
            raise XenonError(f"{name}: entry point 0x{entry_point:x} is outside of the file's segments")
        entry, toc = _DESCRIPTOR.unpack(descriptor)
    if entry % 4 or not any(
        part.address <= entry < part.end and part.protection & Protection.EXECUTE for part in segments
    ):
        raise XenonError(f"{name}: entry point 0x{entry:x} is outside of the program's code")
    headers = next(
        (
            part.address + table - part.offset
            for part in segments
            if part.offset <= table and table + count * _SEGMENT.size <= part.offset + len(part.data)
        ),
        0,
    )
    return Program(
        name, image, abi, entry, entry_point, toc, headers, count, tuple(segments), stack_bytes, movable
    )


def _check_header(name: str, image: bytes) -> tuple[int, int, int, int, int]:
    """(type, flags, entry, offset of the program headers, their number)."""
    if not image.startswith(_MAGIC):
        found = "an empty file" if not image else f"bytes {image[:4].hex(' ')}"
        raise XenonError(f"{name}: byte 0: found {found}, expected an ELF program (7f 45 4c 46)", _HINT)
    if len(image) < _HEADER.size:
        raise XenonError(f"{name}: ends after {len(image)} bytes, inside the ELF header of {_HEADER.size}")
    bits, order = image[4], image[5]
    if bits not in _CLASSES or order not in (1, 2):
        raise XenonError(f"{name}: byte 4: found class {bits}, byte order {order}, expected 2 and 2", _HINT)
    machine = struct.unpack_from(">H" if order == 2 else "<H", image, 18)[0]
    machine_name = _MACHINES.get(machine, f"machine {machine}")
    if machine == 20 and order == 2:
        raise XenonError(
            f"{name}: is a 32-bit PowerPC program (as libxenon makes), expected a 64-bit one", _HINT
        )
    if machine != _MACHINE_POWERPC64:
        raise XenonError(
            f"{name}: is a program for {machine_name}, expected 64-bit big-endian PowerPC", _HINT
        )
    if bits != 2:
        raise XenonError(f"{name}: is a 32-bit program, expected a 64-bit one", _HINT)
    if order != 2:
        raise XenonError(f"{name}: is little-endian (ppc64le), expected big-endian PowerPC", _HINT)
    _, kind, _, _, entry, table, _, flags, _, entry_size, count, _, _, _ = _HEADER.unpack_from(image)
    if kind not in (_TYPE_EXECUTABLE, _TYPE_POSITION_INDEPENDENT):
        raise XenonError(f"{name}: is {_TYPES.get(kind, f'of type {kind}')}, expected an executable", _HINT)
    if flags & _ABI_MASK == 3:
        raise XenonError(f"{name}: byte 48: found ABI version 3, expected 1 or 2")
    if not 0 < count <= _MOST_SEGMENTS or entry_size != _SEGMENT.size:
        raise XenonError(
            f"{name}: byte 54: found {count} program headers of {entry_size} bytes, "
            f"expected 1 to {_MOST_SEGMENTS} of {_SEGMENT.size}"
        )
    if table + count * _SEGMENT.size > len(image):
        raise XenonError(
            f"{name}: truncated: program headers end at byte {table + count * _SEGMENT.size} of {len(image)}"
        )
    return kind, flags, entry, table, count


def _read_segments(name: str, image: bytes, table: int, count: int) -> tuple[list[Segment], bool, int]:
    """(what to load in the order of addresses, whether a dynamic linker is asked for, bytes of stack)."""
    segments: list[Segment] = []
    interpreted, stack_bytes = False, DEFAULT_STACK_BYTES
    content = memoryview(image)
    for index in range(count):
        place = table + index * _SEGMENT.size
        kind, flags, offset, address, _, in_file, in_memory, _ = _SEGMENT.unpack_from(image, place)
        if kind == _SEGMENT_DYNAMIC_LINKER:
            interpreted = True
        if kind == _SEGMENT_STACK and in_memory:
            stack_bytes = min(max(in_memory, SMALLEST_STACK_BYTES), LARGEST_STACK_BYTES)
        if kind != _SEGMENT_LOAD or in_memory == 0:
            continue
        if in_file > in_memory:
            raise XenonError(
                f"{name}: byte {place}: segment {index} has {in_file} bytes in the file, {in_memory} in RAM"
            )
        if offset + in_file > len(image):
            raise XenonError(
                f"{name}: truncated: segment {index} ends at byte {offset + in_file} of {len(image)}"
            )
        data = content[offset : offset + in_file]
        segments.append(Segment(address, in_memory, offset, data, _protection(flags)))
    return sorted(segments, key=lambda part: part.address), interpreted, stack_bytes


def _check_placement(name: str, segments: list[Segment], movable: bool) -> None:
    """Raise XenonError unless the segments fit into the program's RAM side by side."""
    span = segments[-1].end - segments[0].address
    if max(span, *(part.size for part in segments)) > PROGRAM.size:
        raise XenonError(
            f"{name}: needs {in_units(max(span, segments[-1].size))} of memory, "
            f"the console has {in_units(PROGRAM.size)}"
        )
    for low, high in pairwise(segments):
        if low.end > high.address:
            raise XenonError(f"{name}: segments overlap at 0x{high.address:x}")
    for part in segments:
        if not movable and not PROGRAM.start <= part.address <= part.end <= PROGRAM.end:
            raise XenonError(
                f"{name}: segment 0x{part.address:x} to 0x{part.end:x} is outside of RAM "
                f"(0x{PROGRAM.start:x} to 0x{PROGRAM.end:x})",
                "link it at a lower address, as with -Wl,--image-base=0x1000000",
            )


def _protection(flags: int) -> Protection:
    found = Protection.NONE
    for flag, protection in _FLAGS:
        if flags & flag:
            found |= protection
    return found


def _bytes_at(segments: list[Segment], address: int, size: int) -> bytes | None:
    for part in segments:
        start = address - part.address
        if 0 <= start <= len(part.data) - size:
            return bytes(part.data[start : start + size])
    return None

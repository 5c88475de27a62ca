"""Which words of an ELF file are instructions: functions by symbol, less the data that compilers put between.

Follows the ELF-64 object file format and the 64-bit PowerPC ELF ABIs: v1 (descriptors in .opd) and v2.
Every offset and length is compared with the file before it is used, since the file may be anything.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from xenon.errors import XenonError

_ELF_HEADER = struct.Struct(">16sHHIQQQIHHHHHH")
_SECTION = struct.Struct(">IIQQQQIIQQ")
_SYMBOL = struct.Struct(">IBBHQQ")

_EM_386, _EM_PPC, _EM_PPC64, _EM_X86_64, _EM_AARCH64 = 3, 20, 21, 62, 183
_MACHINES = {_EM_386: "x86", _EM_PPC: "32-bit PowerPC", _EM_X86_64: "x86-64", _EM_AARCH64: "AArch64"}
_ET_REL, _ET_EXEC, _ET_DYN = 1, 2, 3
_SHT_SYMTAB, _SHT_NOBITS, _SHT_DYNSYM = 2, 8, 11
_SHF_EXECINSTR, _SHF_COMPRESSED = 0x4, 0x800
_SHN_LORESERVE = 0xFF00
_STT_NOTYPE, _STT_FUNC, _STT_GNU_IFUNC = 0, 2, 10

_LONGEST_NAME = 1024  # of a function, in bytes; the rest is cut off

_BCTR = 0x4E800420
_TRAP = 0x7FE00008
_PADDING = (0, 0x60000000, 0x60420000, _TRAP)  # zero, nop, the nop that ends a group on POWER7, and lld's
_LEAVING = (16, 17, 18, 19)  # primary opcodes of bc, sc, b and of bclr, bcctr, rfid
_LAST_LANGUAGE = 13  # of a traceback table: 0 is C, 9 C++, 12 assembler
_CONTROL, _HANDLER = 0x08, 0x80  # flags of traceback tables with parts that no C compiler writes
_BUILD_HINT = "build for big-endian 64-bit PowerPC Linux, as with zig cc -target powerpc64-linux-musl"


def _leaves(word: int) -> bool:
    return word >> 26 in _LEAVING or word == _TRAP


@dataclass(frozen=True, slots=True)
class Region:
    """One function, or a whole section where the file has no symbols for it."""

    symbol: str
    address: int
    words: tuple[int, ...]
    function: bool  # the symbol says that it is one

    @property
    def end(self) -> int:
        return self.address + 4 * len(self.words)

    def instructions(self) -> list[tuple[int, int]]:
        """Address and word of each instruction: no zero words, traceback tables, jump tables or literals.

        In a function the words behind its last branch, call or trap are data: control never gets there, or it
        would run into whatever the linker put next.
        """
        found = list(self._without_tables())
        if not self.function:
            return found
        last = next((n for n in range(len(found), 0, -1) if _leaves(found[n - 1][1])), len(found))
        return found[:last]

    def _without_tables(self) -> Iterator[tuple[int, int]]:
        index = 0
        while index < len(self.words):
            word = self.words[index]
            if word == 0:
                index += self._traceback_words(index)
                continue
            yield self.address + 4 * index, word
            index += 1
            if word == _BCTR:
                index += self._jump_table_words(index)

    def _jump_table_words(self, first: int) -> int:
        """Length of a table of offsets, counted from the table itself, to other code of this function."""
        table = self.address + 4 * first
        index = first
        while index < len(self.words):
            target = table + self.words[index] - (self.words[index] >> 31 << 32)
            inside = self.address <= target < self.end and target % 4 == 0
            if not inside or table <= target <= self.address + 4 * index:
                break
            index += 1
        return index - first

    def _traceback_words(self, zero: int) -> int:
        """1 for a plain zero word; the whole length where it opens a traceback table."""
        if zero + 2 >= len(self.words):
            return 1
        fixed = struct.pack(">2I", *self.words[zero + 1 : zero + 3])
        version, language, flags, more, _, _, fixed_parameters, parameters = fixed
        if version or language > _LAST_LANGUAGE or flags & _CONTROL or more & _HANDLER:
            return 1
        if self.words[zero + 1] == 0 and self.words[zero + 2] >> 26:
            return 1  # zero padding, then an instruction: no PowerPC has code in primary opcode 0 but attn
        size = 4 + 8
        size += 4 if fixed_parameters or parameters >> 1 else 0
        size += 4 if flags & 0x20 else 0  # the length of the function
        if more & 0x40:  # a name: two bytes of length, then as many bytes
            near = self.words[zero : zero + (size + _LONGEST_NAME) // 4]
            body = struct.pack(f">{len(near)}I", *near)
            length = int.from_bytes(body[size : size + 2], "big")
            name = body[size + 2 : size + 2 + length]
            if len(name) != length or not name.isascii():
                return 1
            size += 2 + length
        size += 1 if more & 0x20 else 0  # the register of alloca
        return min((size + 3) // 4, len(self.words) - zero)


@dataclass(frozen=True, slots=True)
class Code:
    """The functions of a program in order of address, and the number of non-padding words outside of them."""

    regions: list[Region]
    unread: int


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    kind: int
    executable: bool
    address: int
    data: memoryview  # empty for sections without bytes in the file
    link: int  # of a symbol table: the index of its strings

    @property
    def end(self) -> int:
        return self.address + len(self.data)


@dataclass(frozen=True, slots=True)
class _Label:
    """A function or an assembler label: its first instruction, and its size or 0."""

    name: str
    address: int
    size: int
    function: bool


def read_code(elf: bytes, name: str) -> Code:
    """The functions of a linked big-endian ELF64 PowerPC file; raises XenonError when it is anything else.

    A function reaches over its symbol's size, or to the next function if it has none; an assembler label
    outside of all functions reaches to the next symbol; an executable section without symbols is one region.
    """
    data = memoryview(elf)
    _check_header(data, name)
    sections = _sections(data, name)
    labels = _labels(sections)
    regions: list[Region] = []
    unread = 0
    addresses = [label.address for label in labels]
    for section in sorted((s for s in sections if s.executable and s.data), key=lambda s: s.address):
        first, last = bisect_left(addresses, section.address), bisect_left(addresses, section.end)
        found = _regions(section, labels[first:last])
        regions += found
        unread += _unread(section, found)
    if not any(region.words for region in regions):
        raise XenonError(
            f"{name}: no executable code, expected some", "scan a linked program, not a data file"
        )
    return Code(regions, unread)


def _check_header(data: memoryview, name: str) -> None:
    if bytes(data[:4]) != b"\x7fELF":
        found = bytes(data[:4]).hex(" ") or "nothing"
        raise XenonError(f"{name}: byte 0: found {found}, expected 7f 45 4c 46 (an ELF file)", _BUILD_HINT)
    _slice(data, 0, _ELF_HEADER.size, "the ELF header", name)
    if data[5] not in (1, 2):
        raise XenonError(f"{name}: byte 5: byte order {data[5]}, expected 2 (big-endian)", _BUILD_HINT)
    little = data[5] == 1
    machine = int.from_bytes(data[18:20], "little" if little else "big")
    if machine != _EM_PPC64:
        found = _MACHINES.get(machine, f"machine {machine}")
        raise XenonError(f"{name}: byte 18: built for {found}, expected 64-bit PowerPC", _BUILD_HINT)
    if little:
        raise XenonError(f"{name}: byte 5: little-endian, expected big-endian", _BUILD_HINT)
    if data[4] != 2:
        raise XenonError(f"{name}: byte 4: file class {data[4]}, expected 2 (64-bit)", _BUILD_HINT)
    kind = int.from_bytes(data[16:18], "big")
    if kind == _ET_REL:
        hint = "link it first: addresses and descriptors are only known then"
        raise XenonError(f"{name}: byte 16: an object file, expected a program", hint)
    if kind not in (_ET_EXEC, _ET_DYN):
        raise XenonError(f"{name}: byte 16: file type {kind}, expected 2 or 3 (a program)", _BUILD_HINT)


def _slice(data: memoryview, offset: int, size: int, what: str, name: str) -> memoryview:
    if offset + size > len(data):
        problem = f"{what} of {size} bytes, but the file ends at {len(data)}"
        raise XenonError(f"{name}: byte {offset}: {problem}", "the file is truncated: build or copy it again")
    return data[offset : offset + size]


def _text(strings: memoryview, offset: int) -> str:
    """The zero-terminated name at an offset, empty when it lies outside of the strings."""
    return bytes(strings[offset : offset + _LONGEST_NAME]).split(b"\0", 1)[0].decode("utf-8", "replace")


def _sections(data: memoryview, name: str) -> list[_Section]:
    header = _ELF_HEADER.unpack(data[: _ELF_HEADER.size])
    offset, entry_size, count, names_index = header[6], header[11], header[12], header[13]
    if count == 0:
        hint = "scan the program as it was linked; strip --strip-all keeps the section headers too"
        raise XenonError(f"{name}: byte 60: no section headers, expected some", hint)
    if entry_size != _SECTION.size:
        raise XenonError(f"{name}: byte 58: section headers of {entry_size} bytes, expected {_SECTION.size}")
    headers = list(
        _SECTION.iter_unpack(_slice(data, offset, count * entry_size, "the section headers", name))
    )

    def content(index: int) -> memoryview:
        _, kind, _, _, at, size, *_ = headers[index]
        return data[:0] if kind == _SHT_NOBITS else _slice(data, at, size, f"section {index}", name)

    names = content(names_index) if names_index < count else data[:0]
    sections = []
    for index, (name_at, kind, flags, address, _, _, link, *_) in enumerate(headers):
        executable = bool(flags & _SHF_EXECINSTR) and kind != _SHT_NOBITS
        if executable and (flags & _SHF_COMPRESSED or address % 4 or address + len(content(index)) > 1 << 64):
            problem = f"section {index} is compressed, or its address {address:#x} cannot hold code"
            raise XenonError(f"{name}: byte {offset + index * entry_size}: {problem}")
        sections.append(_Section(_text(names, name_at), kind, executable, address, content(index), link))
    in_order = sorted((s for s in sections if s.executable and s.data), key=lambda s: s.address)
    for before, after in pairwise(in_order):
        if before.end > after.address:
            problem = f"sections {before.name} and {after.name} overlap at {after.address:#x}"
            raise XenonError(f"{name}: byte {offset}: {problem}, expected separate code")
    read = sum(len(s.data) for s in sections if s.executable or s.kind in (_SHT_SYMTAB, _SHT_DYNSYM))
    if read > len(data):
        raise XenonError(f"{name}: byte {offset}: sections share bytes, expected separate code and symbols")
    return sections


def _labels(sections: list[_Section]) -> list[_Label]:
    """Functions and unsized labels by address, .opd descriptors (ABI v1) followed to the code."""
    descriptors = next((section for section in sections if section.name == ".opd"), None)
    labels = []
    for table in sections:
        if table.kind not in (_SHT_SYMTAB, _SHT_DYNSYM):
            continue
        strings = sections[table.link].data if table.link < len(sections) else table.data[:0]
        whole = len(table.data) // _SYMBOL.size * _SYMBOL.size
        for name_at, info, _, section, value, size in _SYMBOL.iter_unpack(table.data[:whole]):
            function = info & 15 in (_STT_FUNC, _STT_GNU_IFUNC)
            if (
                section == 0
                or section >= _SHN_LORESERVE
                or not (function or (info & 15 == _STT_NOTYPE and name_at))
            ):
                continue
            if function and descriptors and descriptors.address <= value <= descriptors.end - 8:
                at = value - descriptors.address
                value = int.from_bytes(descriptors.data[at : at + 8], "big")
            if value % 4 == 0:
                labels.append(_Label(_text(strings, name_at), value, size if function else 0, function))
    return sorted(labels, key=lambda label: (label.address, -label.size, label.name))


def _regions(section: _Section, labels: list[_Label]) -> list[Region]:
    """One region for each start, none inside another; the whole section when it has no labels."""
    if not labels:
        return [_region(section, section.name, section.address, section.end, function=False)]
    starts = sorted({label.address for label in labels} | {section.end})
    functions = sorted({label.address for label in labels if label.function} | {section.end})
    regions: list[Region] = []
    for label in labels:
        if regions and label.address < regions[-1].end:
            continue
        limits = functions if label.function else starts
        following = limits[bisect_right(limits, label.address)]
        end = min(label.address + label.size, section.end) if label.size else following
        regions.append(_region(section, label.name, label.address, end, function=label.function))
    return regions


def _region(section: _Section, symbol: str, start: int, end: int, function: bool) -> Region:
    size = (end - start) // 4 * 4
    at = start - section.address
    return Region(symbol, start, struct.unpack(f">{size // 4}I", section.data[at : at + size]), function)


def _unread(section: _Section, regions: list[Region]) -> int:
    """Words of a section that no region covers and that no linker fills gaps with."""
    whole = _region(section, "", section.address, section.end, function=False).words
    covered = [((r.address - section.address) // 4, (r.end - section.address) // 4) for r in regions]
    gaps = zip([0, *(end for _, end in covered)], [*(start for start, _ in covered), len(whole)], strict=True)
    return sum(word not in _PADDING for start, end in gaps for word in whole[start:end])

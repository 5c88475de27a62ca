"""Which words of a program are instructions: its functions, less the data that compilers put between them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from xenon.errors import XenonError
from xenon.linux.program import check_kind
from xenon.powerpc import elf
from xenon.powerpc.abi import INSTRUCTION_BYTES
from xenon.powerpc.functions import Function, read_functions

_BCTR = 0x4E800420
_TRAP = 0x7FE00008
_PADDING = (0, 0x60000000, 0x60420000, _TRAP)  # zero, nop, the nop that ends a group on POWER7, and lld's
_LEAVING = (16, 17, 18, 19)  # primary opcodes of bc, sc, b and of bclr, bcctr, rfid
_LAST_LANGUAGE = 13  # of a traceback table: 0 is C, 9 C++, 12 assembler
_CONTROL, _HANDLER = 0x08, 0x80  # flags of traceback tables with parts that no C compiler writes


def _leaves(word: int) -> bool:
    return word >> 26 in _LEAVING or word == _TRAP


@dataclass(frozen=True, slots=True)
class CodeRegion:
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
        code = list(self._without_tables())
        if not self.function:
            return code
        return code[: next((n for n in range(len(code), 0, -1) if _leaves(code[n - 1][1])), len(code))]

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
        """Words of a table of offsets, counted from the table itself, to other code of this function."""
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
            near = self.words[zero : zero + (size + elf.LONGEST_NAME) // 4]
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

    regions: list[CodeRegion]
    unread: int


def read_code(image: bytes, name: str) -> Code:
    """The functions of a linked big-endian ELF64 PowerPC file; raises XenonError when it is anything else.

    An executable section without symbols is one region.
    """
    file = elf.Elf(name, image)
    check_kind(file)
    sections = _code_sections(file)
    functions = read_functions(file, [(code.address, code.end) for code in sections])
    regions: list[CodeRegion] = []
    unread = 0
    for section in sections:
        within = functions.within(section.address, section.end)
        section_regions = [section.region(function) for function in within] or [section.whole()]
        regions += section_regions
        unread += _unread(section, section_regions)
    if not any(region.words for region in regions):
        raise XenonError(
            f"{name}: no executable code, expected some", "scan a linked program, not a data file"
        )
    return Code(regions, unread)


@dataclass(frozen=True, slots=True)
class _CodeSection:
    name: str
    address: int
    data: memoryview

    @property
    def end(self) -> int:
        return self.address + len(self.data)

    def whole(self) -> CodeRegion:
        return CodeRegion(self.name, self.address, self._words(0, len(self.data)), function=False)

    def region(self, function: Function) -> CodeRegion:
        start = function.address - self.address
        words = self._words(start, start + function.size)
        return CodeRegion(function.name, function.address, words, function.typed)

    def _words(self, start: int, end: int) -> tuple[int, ...]:
        count = (end - start) // INSTRUCTION_BYTES
        return struct.unpack_from(f">{count}I", self.data, start)


def _code_sections(file: elf.Elf) -> list[_CodeSection]:
    """The sections with machine code, in the order of addresses; they share no address and no byte."""
    name = file.name
    sections = file.sections()
    if not sections:
        hint = "scan the program as it was linked; strip --strip-all keeps the section headers too"
        raise XenonError(f"{name}: byte 60: no section headers, expected some", hint)
    code: list[_CodeSection] = []
    read = 0
    for section in sections:
        data = file.content(section)
        if section.executable:
            compressed = section.flags & elf.SECTION_COMPRESSED
            if compressed or section.address % INSTRUCTION_BYTES or section.address + len(data) > 1 << 64:
                problem = f"is compressed, or its address {section.address:#x} cannot hold code"
                raise XenonError(f"{name}: byte {section.header_offset}: section {section.number} {problem}")
            if data:
                code.append(_CodeSection(section.name, section.address, data))
        if section.executable or section.type in (elf.SECTION_SYMBOLS, elf.SECTION_DYNAMIC_SYMBOLS):
            read += len(data)
    code.sort(key=lambda section: section.address)
    prefix = f"{name}: byte {file.header.sections_offset}"
    for before, after in pairwise(code):
        if before.end > after.address:
            problem = f"sections {before.name} and {after.name} overlap at {after.address:#x}"
            raise XenonError(f"{prefix}: {problem}, expected separate code")
    if read > len(file.image):
        raise XenonError(f"{prefix}: sections share bytes, expected separate code and symbols")
    return code


def _unread(section: _CodeSection, regions: Sequence[CodeRegion]) -> int:
    """Words of a section that no region covers and that no linker fills gaps with."""
    words = section.whole().words
    covered = [
        ((region.address - section.address) // 4, (region.end - section.address) // 4) for region in regions
    ]
    starts, ends = [start for start, _ in covered], [end for _, end in covered]
    gaps = zip([0, *ends], [*starts, len(words)], strict=True)
    return sum(word not in _PADDING for start, end in gaps for word in words[start:end])

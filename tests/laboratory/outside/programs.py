"""Program files: ELF of both classes and byte orders through every reader of programs, and into memory."""

from __future__ import annotations

import json
import random
import struct
from itertools import pairwise
from pathlib import Path

from elf_files import CODE_ADDRESS, FUNCTION, UNTYPED, Label, elf_file

from laboratory.outside.mutations import damaged, edge
from xenon.errors import XenonError
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.pages import Pages
from xenon.linux.address_space import AddressSpace
from xenon.linux.layout import LINUX_MAP
from xenon.linux.loading import load
from xenon.linux.program import Program, parse_program, read_program
from xenon.powerpc.disassembly import capstone_name
from xenon.powerpc.elf import MAGIC, Elf
from xenon.powerpc.functions import read_functions
from xenon.profile.code_map import CodeMap
from xenon.profile.coverage import coverage
from xenon.profile.coverage_report import as_dict, lines
from xenon.profile.scan import scan_report

MEMORY_BYTES = 96 << 20
"""What a trial may take at most; a loaded program's RAM is in it."""

_WORDS = (
    *(0x60000000, 0x4E800020, 0x48000005, 0x4BFFFFFD, 0x41820008, 0x4200FFF8, 0x7C0802A6, 0x4E800421),
    *(0x3C4C0001, 0x38420000, 0x44000002, 0x00000000, 0x10000484, 0x7C002698, 0xF8010010, 0xFC20102A),
)
_HEADERS = 64 + 56

capstone_name(0)  # loads a library, which a trial may not


def trial(rng: random.Random, folder: Path) -> int:
    """One file through each of the readers."""
    data = _file(rng)
    for reader in (_elf, _program, _scan):
        try:
            reader(rng, data)
        except XenonError as error:
            assert error.message
    if rng.random() < 0.2:
        (folder / "program").write_bytes(data)
        try:
            read_program(folder / "program")
        except XenonError as error:
            assert error.message
    return 1


def _elf(_: random.Random, data: bytes) -> None:
    elf = Elf("program", data)
    for read in (elf.program_headers, elf.sections):
        try:
            read()
        except XenonError as error:
            assert error.message
    sections = elf.sections()
    for section in sections:
        try:
            elf.content(section)
        except XenonError as error:
            assert error.message
    assert sum(len(symbol.name) for symbol in elf.symbols(sections)) <= 24 * len(data)
    extents = [(row.address, row.address + row.size) for row in sections if row.executable]
    functions = list(read_functions(elf, extents))
    assert all(low.end <= high.address for low, high in pairwise(functions))


def _program(rng: random.Random, data: bytes) -> None:
    program = parse_program("program", data)
    named = program.functions()
    for function in list(named)[:50]:
        assert named.at(function.address) == function
    spans = CodeMap(program).spans
    assert all(span.start <= span.end for span in spans)
    functions = coverage(program)
    assert len(list(lines(functions))) > 0
    assert json.dumps(as_dict(functions))
    if rng.random() < 0.3:
        _load(rng, program)


def _scan(_: random.Random, data: bytes) -> None:
    assert scan_report(data, "program").instructions <= len(data)


def _load(rng: random.Random, program: Program) -> None:
    space = AddressSpace(Pages(UnifiedMemory(memory_map=LINUX_MAP)))
    loaded = load(program, space, [b"program", b"x" * rng.randrange(99)], {}, bytes(16))
    assert space.readable(loaded.stack_pointer, 8)


def _file(rng: random.Random) -> bytes:
    if rng.random() < 0.05:
        return MAGIC + rng.randbytes(rng.randrange(200))
    code = struct.pack(">16I", *(rng.choice(_WORDS) for _ in range(16))) * rng.randrange(1, 4)
    code += rng.randbytes(rng.choice((0, 4, 7, 32)))
    bits, order = 64, "big"
    if rng.random() < 0.3:
        bits, order = rng.choice(((64, "little"), (32, "big"), (32, "little")))
    labels = [_label(rng, len(code), bits) for _ in range(rng.randrange(8))]
    machine = 20 if bits == 32 else 21
    strings = rng.randbytes(rng.choice((0, 0, 50, 2000)))
    data = elf_file(code, labels, bits, order, machine, rng.choice((1, 1, 2, 5)), strings)
    return damaged(rng, data, _HEADERS if rng.random() < 0.3 else len(data)) if rng.random() < 0.9 else data


def _label(rng: random.Random, size: int, bits: int) -> Label:
    address = CODE_ADDRESS + 4 * rng.randrange(size // 4 + 2)
    extent = rng.choice((0, 4, 16, size, edge(rng, bits // 8)))
    if rng.random() < 0.1:
        address = edge(rng, bits // 8)
    offset = rng.choice((None, None, None, 0, 1, edge(rng, 4)))
    return Label(f"f{rng.randrange(9)}", address, extent, rng.choice((FUNCTION, UNTYPED, 10, 3)), offset)

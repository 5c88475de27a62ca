"""ELF files of both classes and byte orders, against pyelftools and readelf; damaged and hostile ones."""

from __future__ import annotations

import io
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from elf_files import CODE_ADDRESS, Label, elf_file
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from sharing import build_once, run_folder

from xenon.errors import XenonError
from xenon.linux.program import parse_program
from xenon.powerpc.elf import LONGEST_NAME, Elf
from xenon.profile.coverage import coverage
from xenon.profile.scan import scan_report

READELF = shutil.which("powerpc64-linux-gnu-readelf") or shutil.which("readelf")
TARGETS = {
    "powerpc-freestanding-none": (32, "big"),
    "powerpc64-freestanding-none": (64, "big"),
    "mipsel-freestanding-none": (32, "little"),
    "x86_64-freestanding-none": (64, "little"),
}
SOURCE = """
int table[64] = {1, 2, 3}, zeros[100];
__attribute__((noinline)) int work(int n) { return table[n & 63] += zeros[n & 7]; }
void go(void) { for (int n = 0;; n++) work(n); }
"""
LI_R3_7, LI_R0_EXIT, SC, BLR = 0x38600007, 0x380000EA, 0x44000002, 0x4E800020
CODE = struct.pack(">4I", LI_R3_7, LI_R0_EXIT, SC, BLR)
LABELS = [Label("start", CODE_ADDRESS, 12), Label("end", CODE_ADDRESS + 12, 4)]
SYMBOL_BYTES = 24


@pytest.fixture(scope="module", params=TARGETS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A target's name, and a program for it."""
    source = tmp_path_factory.mktemp("elf") / "source.c"
    source.write_text(SOURCE)
    command = [sys.executable, "-m", "ziglang", "cc", "-target", request.param, "-nostdlib", "-static", "-O1"]
    command += ["-Wl,-e,go", str(source)]
    program = build_once(
        run_folder(tmp_path_factory) / f"elf-{request.param}",
        lambda target: subprocess.run([*command, "-o", target], check=True, capture_output=True),
    )
    return request.param, program


def test_programs_for_other_machines_are_read_as_pyelftools_reads_them(built: tuple[str, Path]) -> None:
    target, path = built
    image = path.read_bytes()
    reference, file = ELFFile(io.BytesIO(image)), Elf("it", image)
    assert (file.bits, file.order) == TARGETS[target]
    assert (reference.elfclass, reference.little_endian) == (file.bits, file.order == "little")
    header = reference.header
    assert (file.header.entry, file.header.flags) == (header["e_entry"], header["e_flags"])
    fields = ("p_offset", "p_vaddr", "p_filesz", "p_memsz", "p_flags")
    assert [
        (row.offset, row.address, row.file_size, row.memory_size, row.flags) for row in file.program_headers()
    ] == [tuple(segment[field] for field in fields) for segment in reference.iter_segments()]
    section_fields = ("sh_flags", "sh_addr", "sh_offset", "sh_size", "sh_link", "sh_info", "sh_addralign")
    sections = file.sections()
    assert [
        (row.name, row.flags, row.address, row.offset, row.size, row.link, row.info, row.alignment)
        for row in sections
    ] == [
        (section.name, *(section[field] for field in section_fields)) for section in reference.iter_sections()
    ]
    for section, expected in zip(sections, reference.iter_sections(), strict=True):
        if expected["sh_type"] not in ("SHT_NOBITS", "SHT_NULL"):
            assert bytes(file.content(section)) == expected.data()
    symbols = {(row.name, row.section, row.value, row.size) for row in file.symbols(sections)}
    assert symbols == {
        (symbol.name, symbol["st_shndx"], symbol["st_value"], symbol["st_size"])
        for table in reference.iter_sections()
        if isinstance(table, SymbolTableSection)
        for symbol in table.iter_symbols()
        if symbol.name and isinstance(symbol["st_shndx"], int)
    }
    assert {"work", "go", "table"} <= {name for name, *_ in symbols}


def test_programs_for_other_machines_are_read_as_readelf_reads_them(built: tuple[str, Path]) -> None:
    if READELF is None:
        pytest.skip("no readelf: Debian has it in binutils")
    path = built[1]
    file = Elf("it", path.read_bytes())
    text = subprocess.run([READELF, "-SsW", str(path)], check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"\[ *([1-9]\d*)\] (\S+) +\S+ +([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+)", text)
    sections = file.sections()
    assert [(str(row.number), row.name, row.address, row.offset, row.size) for row in sections[1:]] == [
        (index, name, *(int(number, 16) for number in numbers)) for index, name, *numbers in rows
    ]
    rows = re.findall(r"\d+: ([0-9a-f]+) +(\d+) (?:FUNC|OBJECT) .* (\d+) (\S+)$", text, re.MULTILINE)
    expected = {(name, int(section), int(value, 16), int(size)) for value, size, section, name in rows}
    symbols = {
        (row.name, row.section, row.value, row.size) for row in file.symbols(sections) if row.type in (1, 2)
    }
    assert symbols == expected


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize("bits", [32, 64])
def test_class_and_byte_order_change_nothing_else(bits: int, order: str) -> None:
    file = Elf("it", elf_file(CODE, LABELS, bits, order, machine=8))
    assert (file.bits, file.order, file.machine_name) == (bits, order, "MIPS")
    (segment,) = file.program_headers()
    assert (segment.type, segment.flags, segment.address, segment.file_size) == (1, 5, CODE_ADDRESS, 16)
    sections = file.sections()
    assert [section.name for section in sections] == ["", ".text", ".symtab", ".strtab"]
    assert bytes(file.content(sections[1])) == CODE
    assert [(row.name, row.type, row.section, row.value, row.size) for row in file.symbols(sections)] == [
        (label.name, label.type, 1, label.address, label.size) for label in LABELS
    ]


def test_a_section_without_bytes_in_the_file_is_empty() -> None:
    image = bytearray(elf_file(CODE, LABELS))
    (table,) = struct.unpack_from(">Q", image, 40)
    struct.pack_into(">I", image, table + 64 + 4, 8)
    struct.pack_into(">Q", image, table + 64 + 32, 1 << 40)
    file = Elf("it", bytes(image))
    section = file.sections()[1]
    assert section.size == 1 << 40
    assert not section.executable
    assert len(file.content(section)) == 0


def everything(image: bytes) -> None:
    """All that is read from a program file: what a run, a fault report and both scans need."""
    for read in (lambda: scan_report(image), lambda: coverage(parse_program("it", image))):
        try:
            read()
        except XenonError as error:
            assert error.message
            assert "\n" not in error.message
    try:
        file = Elf("it", image)
        file.program_headers()
        list(file.symbols(file.sections()))
    except XenonError:
        pass


@pytest.mark.parametrize("bits", [32, 64])
def test_a_program_cut_at_any_byte_is_read_or_refused(bits: int) -> None:
    image = elf_file(CODE, LABELS, bits)
    for length in range(len(image)):
        everything(image[:length])
        with pytest.raises(XenonError):
            Elf("it", image[:length]).sections()


@pytest.mark.parametrize(("bits", "order"), [(64, "big"), (32, "little")])
def test_a_program_with_any_changed_byte_of_its_headers_is_read_or_refused(bits: int, order: str) -> None:
    image = elf_file(CODE, LABELS, bits, order)
    body = range(image.index(CODE), image.index(CODE) + len(CODE))
    for offset in range(len(image)):
        if offset not in body:
            for value in {0, 1, 0x7F, 0x80, 0xFF, image[offset] ^ 1} - {image[offset]}:
                everything(image[:offset] + bytes([value]) + image[offset + 1 :])


@pytest.mark.parametrize(
    ("offset", "count", "message"),
    [
        (60, 0xFFFF, "it: truncated: the section header table ends at byte 4194"),
        (56, 0xFFFF, "it: truncated: the program header table ends at byte 3670024 of "),
        (58, 63, "it: found section headers of 63 bytes, expected 64"),
        (54, 55, "it: found program headers of 55 bytes, expected 56"),
    ],
)
def test_tables_that_the_file_cannot_hold_are_refused(offset: int, count: int, message: str) -> None:
    image = bytearray(elf_file(CODE, LABELS))
    struct.pack_into(">H", image, offset, count)
    file = Elf("it", bytes(image))
    with pytest.raises(XenonError) as caught:
        file.sections() if offset > 56 else file.program_headers()
    assert caught.value.message.startswith(message)


def test_many_tables_over_the_same_symbols_are_not_read_again_and_again() -> None:
    labels = [Label("", CODE_ADDRESS, 4, name_offset=1)] * 1000
    image = elf_file(CODE, labels, tables=1000)
    file = Elf("it", image)
    assert 1000 <= sum(1 for _ in file.symbols(file.sections())) <= len(image) // SYMBOL_BYTES
    everything(image)


def test_names_that_overlap_take_no_more_memory_than_the_file() -> None:
    first = len(b"\0.text\0.symtab\0.strtab\0")
    labels = [Label("", CODE_ADDRESS, 4, name_offset=first + number) for number in range(2000)]
    image = elf_file(CODE, labels, strings=b"A" * 100_000)
    file = Elf("it", image)
    names = {symbol.name for symbol in file.symbols(file.sections())}
    assert names == {"A" * LONGEST_NAME}
    symbols = list(file.symbols(file.sections()))
    assert 1 < sum(len(symbol.name) for symbol in symbols) <= len(image)
    everything(image)


def test_sizes_of_symbols_are_cut_to_the_code() -> None:
    labels = [Label(f"f{number}", CODE_ADDRESS + 4 * number, 1 << 40) for number in range(300)]
    image = elf_file(CODE * 75, labels)
    functions = parse_program("it", image).functions()
    assert len(functions) == 300
    assert sum(function.size for function in functions) == len(CODE * 75)
    everything(image)


def test_names_cannot_command_a_terminal() -> None:
    labels = [Label("\x1b[2J\a", CODE_ADDRESS, 4), Label("naïve\u202e", CODE_ADDRESS + 4, 4)]
    program = parse_program("it", elf_file(CODE, labels))
    assert [function.name for function in program.functions()] == ["\ufffd[2J\ufffd", "naïve\ufffd"]

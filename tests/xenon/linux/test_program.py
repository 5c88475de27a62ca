"""Program files: what is not a static big-endian PowerPC64 program is refused in one line that says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import NAMED_PIPES
from typer.testing import CliRunner

from xenon.cli.app import app
from xenon.errors import XenonError
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import MIB
from xenon.hardware.pages import Pages
from xenon.linux.address_space import AddressSpace
from xenon.linux.loading import load
from xenon.linux.program import (
    DEFAULT_STACK_BYTES,
    LARGEST_STACK_BYTES,
    parse_program,
    read_image,
    read_program,
)

MakeElf = Callable[..., bytes]
CODE = bytes(16)


def _refused(image: bytes) -> str:
    with pytest.raises(XenonError) as caught:
        parse_program("it", image)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_small_program_is_read(small_elf: bytes) -> None:
    program = parse_program("small", small_elf)
    assert (program.abi, program.entry, program.movable, program.stack_bytes) == (
        2,
        0x10000,
        False,
        DEFAULT_STACK_BYTES,
    )


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"", "an empty file"),
        (b"\x7fEL", "expected an ELF program"),
        (b"#!/bin/sh\necho", "expected an ELF program"),
        (b"\x7fELF", "ends after 4 bytes"),
    ],
)
def test_what_is_no_elf_file_is_refused(image: bytes, words: str) -> None:
    assert words in _refused(image)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"machine": 20, "ident": b"\x7fELF\1\2\1"}, "32-bit PowerPC program (as libxenon makes)"),
        ({"kind": 1}, "a relocatable object"),
        ({"kind": 4}, "a core dump"),
        ({"kind": 9}, "of type 9"),
        ({"machine": 22}, "a program for S/390"),
        ({"machine": 999}, "machine 999"),
        ({"ident": b"\x7fELF\1\2\1"}, "a 32-bit program"),
        ({"ident": b"\x7fELF\7\7\1"}, "class 7"),
        ({"flags": 3}, "ABI version 3"),
    ],
)
def test_another_kind_of_elf_file_is_named(
    make_elf: MakeElf, part: Any, options: dict[str, Any], words: str
) -> None:
    assert words in _refused(make_elf([part(0x10000, CODE)], 0x10000, **options))


def test_little_endian_files_are_told_apart(make_elf: MakeElf, part: Any) -> None:
    image = bytearray(make_elf([part(0x10000, CODE)], 0x10000))
    image[5] = 1
    image[18:20] = b"\x15\0"
    assert "little-endian (ppc64le)" in _refused(bytes(image))
    image[18:20] = b"\x3e\0"
    assert "for x86-64" in _refused(bytes(image))


@pytest.mark.parametrize(
    ("parts", "entry", "words"),
    [
        ([], 0, "0 program headers"),
        ([(0x10000, CODE, None, 5, 4)], 0x10000, "nothing to load"),
        ([(0x10000, CODE), (0x20000, b"/lib/ld.so\0", None, 4, 3)], 0x10000, "dynamically linked"),
        ([(0x10000, CODE, 8)], 0x10000, "16 bytes in the file, 8 in RAM"),
        ([(0x10000, CODE), (0x10008, CODE)], 0x10000, "overlap at 0x10008"),
        ([(0x8000, CODE)], 0x8000, "outside of RAM"),
        ([(0x1E000000, CODE)], 0x1E000000, "outside of RAM"),
        ([(0x1DFFFFF8, CODE)], 0x1DFFFFF8, "outside of RAM"),
        ([(0xFFFFFFFFFFFFFFF8, CODE)], 0xFFFFFFFFFFFFFFF8, "outside of RAM"),
        ([(0x10000, CODE, 1 << 40)], 0x10000, "needs 1048576 MiB"),
        ([(0x10000, CODE, (1 << 64) - 1)], 0x10000, "the console has"),
        ([(0x10000, CODE), (1 << 63, CODE)], 0x10000, "the console has"),
        ([(0x10000, CODE)], 0x10010, "entry point 0x10010"),
        ([(0x10000, CODE)], 0x10002, "entry point 0x10002"),
        ([(0x10000, CODE, None, 6)], 0x10000, "outside of the program's code"),
    ],
)
def test_a_program_that_does_not_fit_is_refused(
    make_elf: MakeElf, part: Any, parts: list[tuple[Any, ...]], entry: int, words: str
) -> None:
    assert words in _refused(make_elf([part(*fields) for fields in parts], entry))


def test_an_abi_v1_descriptor_outside_of_the_file_is_refused(make_elf: MakeElf, part: Any) -> None:
    assert "entry point 0x10008" in _refused(make_elf([part(0x10000, CODE, 4096)], 0x10008, flags=1))
    assert "entry point 0x0" in _refused(make_elf([part(0x10000, CODE)], 0x10000, flags=0))


def test_a_program_cut_anywhere_is_refused_or_whole(small_elf: bytes) -> None:
    for length in range(len(small_elf)):
        _refused(small_elf[:length])


@pytest.mark.parametrize(
    ("asked", "given_"), [(0, 8 * MIB), (1, 64 << 10), (MIB, MIB), (1 << 60, LARGEST_STACK_BYTES)]
)
def test_the_stack_is_as_large_as_asked_within_bounds(
    make_elf: MakeElf, part: Any, asked: int, given_: int
) -> None:
    image = make_elf([part(0x10000, CODE), part(0, b"", asked, 6, 0x6474E551)], 0x10000)
    assert parse_program("it", image).stack_bytes == given_


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 187), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_a_damaged_program_is_refused_or_loads(
    small_elf: bytes, changes: list[tuple[int, int]], tail: bool
) -> None:
    image = bytearray(small_elf + bytes(200) * tail)
    for place, value in changes:
        image[place % len(image)] = value
    try:
        program = parse_program("damaged", bytes(image))
        load(program, AddressSpace(Pages(UnifiedMemory())), [b"damaged"], {}, bytes(16))
        program.functions().describe(program.entry)
    except XenonError:
        pass


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_section_and_symbol_tables_only_cost_names(build: Any, data: st.DataObject) -> None:
    image = bytearray(build("misdeeds", "freestanding").read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        image[data.draw(st.one_of(st.integers(40, 63), st.integers(len(image) - 1500, len(image) - 1)))] = (
            data.draw(st.integers(0, 255))
        )
    try:
        program = parse_program("damaged", bytes(image))
    except XenonError:
        return
    for address in (0, program.entry, 1 << 63):
        program.functions().describe(address)


def test_symbols_name_functions_of_both_abis(build: Any) -> None:
    for how, abi in (("freestanding", 2), ("freestanding-v1", 1)):
        program = read_program(build("report", how))
        assert program.abi == abi
        functions = program.functions()
        run = next(function for function in functions if function.name == "run")
        assert functions.describe(run.address + 8) == "run+0x8"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("x86_64-freestanding-none", "for x86-64"),
        ("powerpc64le-freestanding-none", "little-endian (ppc64le)"),
        ("powerpc-freestanding-none", "32-bit PowerPC"),
    ],
)
def test_real_programs_for_other_machines_are_named(tmp_path: Path, target: str, words: str) -> None:
    source, path = tmp_path / "none.c", tmp_path / "none"
    source.write_text("void _start(void) { for (;;); }\n")
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-nostdlib", "-static", str(source)]
    subprocess.run([*command, "-o", str(path)], check=True, capture_output=True)
    assert words in _refused(path.read_bytes())


def test_a_dynamic_program_is_told_to_link_statically(tmp_path: Path) -> None:
    if shutil.which("powerpc64-linux-gnu-gcc") is None:
        pytest.skip("no powerpc64-linux-gnu-gcc: Debian has it in gcc-powerpc64-linux-gnu")
    (tmp_path / "it.c").write_text("int main(void) { return 0; }\n")
    for options in ([], ["-pie"]):
        command = ["powerpc64-linux-gnu-gcc", *options, str(tmp_path / "it.c"), "-o", str(tmp_path / "it")]
        subprocess.run(command, check=True)
        with pytest.raises(XenonError, match="dynamically linked") as caught:
            read_program(tmp_path / "it")
        assert "-static" in caught.value.hint


def test_files_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(XenonError, match="is a directory"):
        read_program(tmp_path)
    with pytest.raises(XenonError, match="no such file"):
        read_program(tmp_path / "missing")


@NAMED_PIPES
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(XenonError, match="is not a regular file"):
            read_image(path)
        result = CliRunner().invoke(app, ["scan", str(path)])
        assert isinstance(result.exception, XenonError)

"""All compiled code of a program in one file: what it keeps, and when the next run takes it."""

from __future__ import annotations

import ctypes
import io
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection
from systems import RECOMPILER

pytest.importorskip("llvmlite", reason=RECOMPILER.kwargs["reason"])

import llama2c
from xenon.console import Console, CpuKind, MachineSettings
from xenon.powerpc.elf import Elf
from xenon.recompiler import codegen
from xenon.recompiler.cache import CodeCache
from xenon.recompiler.object_code import FlatCode, flat_code
from xenon.recompiler.outcome import Tier
from xenon.recompiler.program_image import KeptUnit, ProgramImage
from xenon.recompiler.recompiler import Recompiler

_IS_FLAT = codegen.console_target().x86 and codegen.compile_text("")[:4] == b"\x7fELF"
only_where_flat = pytest.mark.skipif(not _IS_FLAT, reason="object code of another kind than ELF of x86-64")

_CONSTANT = """
@table = private constant [4 x double] [double 1.5, double 2.5, double 3.5, double 4.5]
define i64 @other(i64 %n) noinline {
  %square = mul i64 %n, %n
  ret i64 %square
}
define i64 @sum(i64 %n) {
  %at = getelementptr [4 x double], ptr @table, i64 0, i64 %n
  %value = load double, ptr %at
  %scaled = fmul double %value, 2.0
  %whole = fptosi double %scaled to i64
  %square = call i64 @other(i64 %n)
  %result = add i64 %whole, %square
  ret i64 %result
}
"""


def _recompiler(cache: Path) -> Recompiler:
    console = Console(MachineSettings(cpu=CpuKind.RECOMPILER))
    console.boot(llama2c.guest_program(), ["model"])
    assert console.recompiler is not None
    console.recompiler.cache = CodeCache(cache)
    console.recompiler.assume_singles = False  # there is no prepared code for that
    return console.recompiler


@only_where_flat
def test_flat_code_runs_without_a_linker() -> None:
    flat = flat_code(codegen.compile_text(_CONSTANT), "sum")
    assert flat is not None
    unit = KeptUnit((4,), None, False, (4,), (), (), ((4, 1),), "", 1, 0, 0, 0)
    image = ProgramImage.of([(unit, FlatCode(bytes(8), 0)), (unit, flat)])
    base, kept = image.base(), image.units[1]
    assert base is not None
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(kept.unit(base).function)
    assert [function(number) for number in range(4)] == [3, 6, 11, 18]


@only_where_flat
def test_object_code_that_refers_to_others_or_is_damaged_is_not_flat() -> None:
    text = "declare i64 @g(i64)\ndefine i64 @f(i64 %n) {\n %a = call i64 @g(i64 %n)\n ret i64 %a\n}"
    assert flat_code(codegen.compile_text(text), "f") is None
    whole = codegen.compile_text(_CONSTANT)
    assert flat_code(whole, "unknown") is None
    assert all(flat_code(whole[:length], "sum") is None for length in range(0, len(whole), 7))


@only_where_flat
def test_relocations_and_their_symbols_are_read_as_pyelftools_reads_them() -> None:
    file = codegen.compile_text(_CONSTANT)
    reference, elf = ELFFile(io.BytesIO(file)), Elf("it", file)
    sections = elf.sections()
    relocations = []
    for section, expected in zip(sections, reference.iter_sections(), strict=True):
        if isinstance(expected, SymbolTableSection):
            symbols = [(symbol.name, symbol.value) for symbol in elf.symbol_entries(section, sections)]
            assert symbols == [
                ("" if symbol["st_info"]["type"] == "STT_SECTION" else symbol.name, symbol["st_value"])
                for symbol in expected.iter_symbols()
            ]
        elif isinstance(expected, RelocationSection):
            fields = ("r_offset", "r_info_sym", "r_info_type", "r_addend")
            rows = [(row.offset, row.symbol, row.type, row.addend) for row in elf.relocations(section)]
            assert rows == [tuple(row[field] for field in fields) for row in expected.iter_relocations()]
            relocations += rows
    assert len(relocations) > 1


def test_a_damaged_image_is_none() -> None:
    unit = KeptUnit((4,), 8, True, (4, 8), (8,), (12,), ((4, 2),), "d", 2, 0, 0, 0)
    image = ProgramImage.of([(unit, FlatCode(b"code", 1))])
    again = ProgramImage.read(image.data)
    assert again is not None
    assert again.units == (unit._replace(size=4, entry=1),)
    assert again.code_of(again.units[0]) == FlatCode(b"code", 1)
    assert all(ProgramImage.read(image.data[:length]) is None for length in range(len(image.data)))
    for wrong in (unit._replace(points=(5,)), unit._replace(runs=()), unit._replace(entries=(1 << 40,))):
        assert ProgramImage.read(ProgramImage.of([(wrong, FlatCode(b"code", 1))]).data) is None


@only_where_flat
def test_the_next_run_takes_what_memory_still_holds(tmp_path: Path) -> None:
    first = _recompiler(tmp_path)
    changed, same = first.functions.addresses_of(["add_scalar", "copy_row"])
    for address in (changed, same):
        assert first.compile(address).tier is Tier.COMPILED
    first.keep_image("program")

    second = _recompiler(tmp_path)
    second.pages.memory.view[changed] ^= 1
    assert second.take_image("program")
    assert not second.dispatch.serves(changed)
    assert second.dispatch.serves(same)
    assert second.outcomes[second.entries_of(same)].tier is Tier.COMPILED
    assert not second.take_image("another program")

"""Tests of the scan of whole programs and of its command, with GCC and pyelftools as references."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import llama2c
from xenon.cli import scan as command
from xenon.errors import XenonError
from xenon.powerpc.foreign import Why
from xenon.profile.code import read_code
from xenon.profile.scan import scan_program, scan_report

GCC = shutil.which("powerpc64-linux-gnu-gcc")
BLR, NOP, BCTR, LI_R3_0, VMSUMSHM = 0x4E800020, 0x60000000, 0x4E800420, 0x38600000, 0x10000028


def sym(name: int, value: int, size: int, section: int = 1, kind: int = 2) -> bytes:
    return struct.pack(">IBBHQQ", name, 0x10 | kind, 0, section, value, size)


def elf(words: list[int], symbols: list[tuple[str, int, int]] | None = None, kind: int = 2) -> bytes:
    """A small ELF64 big-endian program with .text at 0x1000; symbols are (name, address, size)."""
    text = struct.pack(f">{len(words)}I", *words)
    strings, table_bytes = b"\0", bytes(24)
    for name, value, size in symbols or []:
        table_bytes += sym(len(strings), value, size, kind=kind)
        strings += name.encode() + b"\0"
    names = b"\0.text\0.symtab\0.strtab\0.shstrtab\0"
    headers, body, offset = [bytes(64)], b"", 64
    rows = [(1, 1, 6, 0x1000, text, 0, 0), (7, 2, 0, 0, table_bytes, 3, 24), (15, 3, 0, 0, strings, 0, 0)]
    for place, sort, flags, address, content, link, entry in [*rows, (23, 3, 0, 0, names, 0, 0)]:
        headers.append(
            struct.pack(">IIQQQQIIQQ", place, sort, flags, address, offset, len(content), link, 0, 4, entry)
        )
        body += content
        offset += len(content)
    ident = b"\x7fELF\x02\x02\x01" + bytes(9)
    counts = (0, 64, 56, 0, 64, len(headers), len(headers) - 1)
    return (
        ident + struct.pack(">HHIQQQIHHHHHH", 2, 21, 1, 0x1000, 0, offset, *counts) + body + b"".join(headers)
    )


B_OVER_TWO, BAD = 0x4800000C, 0x584C4C4D  # b to 12 bytes behind; text


def test_text_that_a_function_jumps_over_is_data() -> None:
    over = [LI_R3_0, B_OVER_TWO, BAD, BAD, BLR]
    assert scan_program(elf(over, [("start", 0x1000, 4 * len(over))])) == []
    into = [LI_R3_0, 0x48000008, BAD, BAD, BLR]  # b to the second of them
    assert [finding.address for finding in scan_program(elf(into, [("start", 0x1000, 20)]))] == [0x100C]


def test_an_instruction_that_xenon_lacks_is_found_where_nothing_leads_to_it() -> None:
    words = [LI_R3_0, B_OVER_TWO, VMSUMSHM, NOP, BLR]
    assert [finding.address for finding in scan_program(elf(words, [("start", 0x1000, 20)]))] == [0x1008]


def test_no_text_is_data_where_a_jump_may_go_anywhere() -> None:
    words = [LI_R3_0, BCTR, BAD, BLR]
    assert [finding.address for finding in scan_program(elf(words, [("start", 0x1000, 16)]))] == [0x1008]


def small_program() -> bytes:
    return elf([LI_R3_0, BLR, VMSUMSHM, BLR], [("start", 0x1000, 8), ("sum", 0x1008, 8)])


def test_findings_carry_symbol_and_offset() -> None:
    (finding,) = scan_program(small_program())
    assert (finding.symbol, finding.offset, finding.address, finding.word) == ("sum", 0, 0x1008, VMSUMSHM)
    report = scan_report(small_program())
    assert (report.instructions, report.functions, report.unread) == (4, 2, 0)


def test_without_symbols_the_whole_section_is_scanned() -> None:
    (finding,) = scan_program(elf([LI_R3_0, BLR, VMSUMSHM]))
    assert (finding.symbol, finding.offset) == (".text", 8)


def test_words_outside_of_functions_are_counted_and_not_judged() -> None:
    report = scan_report(elf([LI_R3_0, BLR, VMSUMSHM, NOP], [("start", 0x1000, 8)]))
    assert (report.findings, report.unread) == ([], 1)


def test_an_assembler_label_without_size_reaches_to_the_next_symbol() -> None:
    program = elf([LI_R3_0, BLR, VMSUMSHM, BLR], [("start", 0x1000, 0), ("loop", 0x1008, 0)], kind=0)
    assert [finding.symbol for finding in scan_program(program)] == ["loop"]


def test_a_jump_table_behind_bctr_is_not_code() -> None:
    words = [NOP, BCTR, 0x0C, 0x10, 0xFFFFFFF8, VMSUMSHM, BLR]
    findings = scan_program(elf(words, [("switch", 0x1000, 28)]))
    assert [(finding.name, finding.offset) for finding in findings] == [("vmsumshm", 20)]


def test_a_traceback_table_is_not_code() -> None:
    c_function, with_name = [0, 0x00000001, 0x80000000], [0, 0x00092040, 0, 0x14, 0x00016100]
    words = [LI_R3_0, BLR, *c_function, VMSUMSHM, BLR, *with_name, VMSUMSHM, BLR]
    assert [finding.offset for finding in scan_program(elf(words))] == [20, 48]


def test_code_behind_zero_padding_is_code() -> None:
    assert [finding.offset for finding in scan_program(elf([BLR, 0, 0, VMSUMSHM, BLR]))] == [12]


def test_a_literal_behind_the_last_branch_of_a_function_is_not_code() -> None:
    program = elf([LI_R3_0, 0x48000009, NOP, 0xFEFE82C0, BLR], [("_start", 0x1000, 16), ("main", 0x1010, 4)])
    assert scan_program(program) == []


def test_functions_are_those_that_pyelftools_lists() -> None:
    program = small_program()
    table = ELFFile(io.BytesIO(program)).get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    symbols = table.iter_symbols()
    listed = [(s.name, s["st_value"], s["st_size"]) for s in symbols if s["st_info"]["type"] == "STT_FUNC"]
    regions = read_code(program, "p").regions
    assert [(region.symbol, region.address, region.end - region.address) for region in regions] == listed


SOURCE = r"""
typedef unsigned long ulong;
__attribute__((noinline)) float dot(const float *a, const float *b, int n) {
    float sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}
__attribute__((noinline)) int choose(int x, int y) {
    switch (x) {
    case 0: return y * 3;   case 1: return y / 7;   case 2: return y ^ 5;  case 3: return y << 3;
    case 4: return y - 9;   case 5: return y * y;   case 6: return 77 + y; case 9: return y >> 3;
    }
    return -1;
}
__attribute__((noinline)) double convert(double *to, const int *from, int n) {
    for (int i = 0; i < n; i++) to[i] = from[i] * 0.5;
    return to[0];
}
float a[64], b[64]; double c[64]; int d[64];
void _start(void) {
    volatile double keep = dot(a, b, 64) + choose((int)(ulong)a, 3) + convert(c, d, 64);
    for (;;) (void)keep;
}
"""


def build(folder: Path, cpu: str) -> bytes:
    if GCC is None:
        pytest.skip("powerpc64-linux-gnu-gcc is not installed")
    source, program = folder / "port.c", folder / f"port-{cpu}"
    source.write_text(SOURCE)
    options = [f"-mcpu={cpu}", "-O2", "-ffreestanding", "-nostdlib", "-static"]
    subprocess.run([GCC, *options, str(source), "-o", str(program)], check=True)
    return program.read_bytes()


@pytest.mark.parametrize("cpu", ["powerpc64", "cell", "970"])
def test_a_program_built_for_an_old_powerpc_has_no_findings(tmp_path: Path, cpu: str) -> None:
    report = scan_report(build(tmp_path, cpu))
    assert report.findings == []
    assert report.functions == 4
    assert report.instructions > 80


@pytest.mark.parametrize("cpu", ["power8", "power9", "power10"])
def test_a_program_built_for_a_later_power_has_findings_with_names(tmp_path: Path, cpu: str) -> None:
    findings = scan_program(build(tmp_path, cpu))
    assert len(findings) >= 3
    assert all(finding.name and finding.why is Why.ABSENT for finding in findings)
    assert {finding.symbol for finding in findings} <= {"dot", "choose", "convert", "_start"}


@pytest.mark.parametrize(
    "program",
    [llama2c.guest_program, llama2c.xell_program, llama2c.c64_program],
    ids=lambda made: made.__name__,
)
def test_the_built_guests_have_no_findings(program: Callable[[], Path]) -> None:
    report = scan_report(program().read_bytes())
    assert report.findings == []
    assert report.functions > 20 and report.instructions > 2000


def test_a_program_cut_at_any_byte_is_refused() -> None:
    program = small_program()
    for size in range(len(program)):
        with pytest.raises(XenonError):
            scan_program(program[:size])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(small_program()) - 1), st.integers(0, 255)), max_size=12))
def test_a_damaged_program_is_scanned_or_refused(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(small_program())
    for offset, value in changes:
        damaged[offset] = value
    try:
        scan_program(bytes(damaged))
    except XenonError as error:
        assert error.message


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_behind_an_elf_header_are_refused(rest: bytes) -> None:
    with pytest.raises(XenonError):
        scan_program(small_program()[:24] + rest)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: 0x4D}, "expected an ELF program (7f 45 4c 46)"),
        ({18: 62, 19: 0, 5: 1}, "x86-64"),
        ({5: 1, 18: 21, 19: 0}, "little-endian"),
        ({4: 1}, "expected 2 (64-bit)"),
        ({19: 20}, "32-bit PowerPC"),
        ({17: 1}, "a relocatable object"),
        ({17: 4}, "a core dump"),
    ],
)
def test_a_program_for_something_else_is_refused_by_what_it_is(change: dict[int, int], message: str) -> None:
    program = bytearray(small_program())
    for offset, value in change.items():
        program[offset] = value
    with pytest.raises(XenonError) as caught:
        scan_program(bytes(program), "port.elf")
    assert message in caught.value.message
    assert caught.value.message.startswith("port.elf: byte ")
    assert caught.value.hint


def test_a_file_whose_sections_share_their_bytes_is_refused_at_once() -> None:
    program = bytearray(elf([NOP] * 1000))
    (headers,) = struct.unpack_from(">Q", program, 40)
    text = bytes(program[headers + 64 : headers + 128])
    copies = [text[:16] + struct.pack(">Q", 0x1000 * (n + 1)) + text[24:] for n in range(5000)]
    struct.pack_into(">H", program, 60, len(copies))
    with pytest.raises(XenonError) as caught:
        scan_program(bytes(program[:headers]) + b"".join(copies))
    assert "share bytes" in caught.value.message


def run_command(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command("scan")(command.scan)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_the_command_prints_findings_and_a_summary(tmp_path: Path) -> None:
    program = tmp_path / "port.elf"
    program.write_bytes(small_program())
    code, output = run_command(str(program))
    assert code == 1
    assert output.splitlines() == [
        "0x00001008  sum+0x0  10000028  vmsumshm  AltiVec, removed on Xenon",
        "1 of 4 instructions in 2 functions is not Xenon's",
    ]
    assert output in (Path(__file__).parents[3] / "docs" / "isa.md").read_text("utf-8")
    program.write_bytes(elf([LI_R3_0, BLR], [("start", 0x1000, 8)]))
    assert run_command(str(program)) == (0, "clean: 2 instructions in 1 functions\n")


def test_the_command_prints_json(tmp_path: Path) -> None:
    program = tmp_path / "port.elf"
    program.write_bytes(small_program())
    code, output = run_command(str(program), "--json")
    report = json.loads(output)
    assert code == 1
    assert (report["instructions"], report["functions"], report["unread_words"]) == (4, 2, 0)
    assert report["findings"][0]["symbol"] == "sum"
    assert report["findings"][0]["why"] == "removed"


@pytest.mark.parametrize("options", [(), ("--recompiler",)])
def test_a_scan_does_without_the_code_generator(
    tmp_path: Path, options: tuple[str, ...], small_elf: bytes
) -> None:
    program = tmp_path / "port.elf"
    program.write_bytes(small_elf if options else small_program())
    code = f"""
import atexit, sys
atexit.register(lambda: print(*sorted(sys.modules), sep="\\n"))
sys.argv = ["xenon-llm", "scan", *{options!r}, {str(program)!r}]
from xenon.cli.start import main
main()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    words = "the recompiler takes 1 of 1 functions" if options else "1 of 4 instructions"
    assert words in result.stdout, result.stderr
    modules = set(result.stdout.splitlines())
    assert "xenon.profile.scan" in modules
    generator = {
        name for name in modules if name.startswith(("xenon.lifter.", "xenon.recompiler", "llvmlite"))
    }
    assert generator <= {"xenon.lifter.flow", "xenon.lifter.jump_tables"}
    assert "unicorn" not in modules

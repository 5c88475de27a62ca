"""Exceptions of a packed program in the console: its own handlers print what the registers hold."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from xell_files import screen_lines

import loader
from xenon.machine import MachineSettings
from xenon.pack.plan import ELF_NAME, Tale, bare_program, plan, self_test
from xenon.powerpc.elf import Elf
from xenon.recompiler.cpu_kind import CpuKind, installed
from xenon.xell.console import XellConsole
from xenon.xell.faults import BareProgramFault

KINDS = [CpuKind.UNICORN, *([CpuKind.RECOMPILER] if installed() else [])]
SC, BLR, LIS_3_0x4000, LD_4_8_3, STW_4_8_3 = 0x4400_0002, 0x4E80_0020, 0x3C60_4000, 0xE883_0008, 0x9083_0008
LI_3_0, MTCTR_3, BCTRL, ILLEGAL, TRAP = 0x3860_0000, 0x7C69_03A6, 0x4E80_0421, 0, 0x7FE0_0008
MFMSR_3, ORI_3_3_IR_DR, MTSRR0_3, MTSRR1_3 = 0x7C60_00A6, 0x6063_0030, 0x7C7A_03A6, 0x7C7B_03A6
RFID = 0x4C00_0024
LIS_3_1, ORI_3_3_2, LWARX_4_0_3 = 0x3C60_0001, 0x6063_0002, 0x7C80_1828


def address_of(name: str) -> int:
    """Where a function of the program begins for its callers: in C, behind what finds its table of
    contents."""
    start = next(symbol.value for symbol in bare_program().functions if symbol.name == name)
    return start + (0 if name.startswith("probe_") else 8)


def patched(folder: Path, tale: Tale, functions: dict[str, list[int]]) -> Path:
    """A stick whose program has other instructions at the beginning of these functions."""
    data = bytearray(plan(tale).files[ELF_NAME])
    segment = Elf(ELF_NAME, bytes(data)).program_headers()[0]
    for name, words in functions.items():
        place = segment.offset + address_of(name) - segment.address
        data[place : place + 4 * len(words)] = struct.pack(f">{len(words)}I", *words)
    (folder / ELF_NAME).write_bytes(data)
    return folder


def boot(folder: Path, kind: CpuKind, threads: int = 1) -> tuple[str, XellConsole, BareProgramFault | None]:
    """What the serial port says, and the fault that ends the program."""
    console = XellConsole(MachineSettings(cpu=kind, threads=threads))
    console.boot(folder)
    text, fault = b"", None
    try:
        for piece in console.run(60):
            text += piece
    except BareProgramFault as error:
        fault = error
    return text.decode().replace("\r\n", "\n"), console, fault


@pytest.fixture(scope="module")
def tale(joe260K: loader.Model, joe_tokenizer: loader.Tokenizer) -> Tale:
    return Tale(joe260K, joe_tokenizer)


# Instructions, the number of the one at fault, vector, reason in SRR1, DAR and DSISR, what the console says.
CASES = {
    "read": (
        [LIS_3_0x4000, LD_4_8_3],
        1,
        0x300,
        0,
        (0x4000_0008, 0x4000_0000),
        "read of 8 bytes at 0x40000008",
    ),
    "write": ([LIS_3_0x4000, STW_4_8_3], 1, 0x300, 0, (0x4000_0008, 0x4200_0000), "write of 4 bytes at 0x4"),
    "illegal": ([ILLEGAL], 0, 0x700, 1 << 19, None, "illegal instruction 0x00000000"),
    "trap": ([TRAP], 0, 0x700, 1 << 17, None, "trap instruction"),
    "misaligned": ([LIS_3_1, ORI_3_3_2, LWARX_4_0_3], 2, 0x600, 0, (0x1_0002, None), "misaligned access"),
}


def field(text: str, name: str) -> int:
    match = re.search(rf"{name} ([0-9a-f]{{16}})\b", text)
    assert match, text
    return int(match[1], 16)


@pytest.mark.parametrize(
    ("case", "kind"), [*((case, CpuKind.UNICORN) for case in CASES), *(("read", kind) for kind in KINDS[1:])]
)
def test_an_exception_comes_to_the_programs_handler(
    tale: Tale, tmp_path: Path, case: str, kind: CpuKind
) -> None:
    words, at_fault, vector, reason, access, what = CASES[case]
    folder = patched(tmp_path, tale, {"main": words})
    text, console, fault = boot(folder, kind)
    assert field(text, "exception: vector") == vector
    assert field(text, "SRR0") == address_of("main") + 4 * at_fault
    assert field(text, "SRR1") & 0x783F_0000 == reason
    if access is not None:
        assert field(text, "DAR") == access[0]
        assert access[1] is None or field(text, "DSISR") == access[1]
    assert fault is not None and what in fault.message
    assert "exception: vector" in " ".join(screen_lines(console))
    assert fault.hint == "the program's own handler has said more on the serial port"
    assert console.smc.lights == 0x0F  # four red quadrants


@pytest.mark.parametrize("kind", KINDS)
def test_a_jump_to_zero_is_reported_with_where_it_came_from(
    tale: Tale, tmp_path: Path, kind: CpuKind
) -> None:
    folder = patched(tmp_path, tale, {"main": [LI_3_0, MTCTR_3, BCTRL]})
    text, _, fault = boot(folder, kind)
    assert (field(text, "exception: vector"), field(text, "SRR0")) == (0x700, 0)
    assert field(text, "LR") == address_of("main") + 12
    assert fault is not None and "jump to 0x0: stale bytes" in fault.message


def test_a_jump_to_where_nothing_is_is_an_exception_of_its_own(tale: Tale, tmp_path: Path) -> None:
    folder = patched(tmp_path, tale, {"main": [LIS_3_0x4000, MTCTR_3, BCTRL]})
    text, _, fault = boot(folder, CpuKind.UNICORN)
    assert (field(text, "exception: vector"), field(text, "SRR0")) == (0x400, 0x4000_0000)
    assert field(text, "SRR1") & 0x783F_0000 == 1 << 30
    assert fault is not None and "jump to 0x40000000: RAM ends" in fault.message


def test_a_system_call_is_the_programs_own_matter(tale: Tale, tmp_path: Path) -> None:
    text, _, fault = boot(patched(tmp_path, tale, {"main": [SC]}), CpuKind.UNICORN)
    assert field(text, "exception: vector") == 0xC00
    assert field(text, "SRR0") == address_of("main") + 4
    assert fault is None


def test_a_return_that_would_translate_is_a_fault_of_its_own(tale: Tale, tmp_path: Path) -> None:
    words = [MFMSR_3, ORI_3_3_IR_DR, MTSRR0_3, MTSRR1_3, RFID]
    text, _, fault = boot(patched(tmp_path, tale, {"main": words}), CpuKind.UNICORN)
    assert "exception:" not in text
    assert fault is not None and "CPU: rfid changes IR, DR of MSR" in fault.message


def test_other_threads_end_with_the_one_at_fault(tale: Tale, tmp_path: Path) -> None:
    folder = patched(tmp_path, tale, {"main": [ILLEGAL]})
    text, _, fault = boot(folder, CpuKind.UNICORN, threads=3)
    assert "threads: " in text and fault is not None


def test_a_fault_in_a_handler_is_not_handled_again(tale: Tale, tmp_path: Path) -> None:
    functions = {"main": [ILLEGAL], "xell_exception": [LIS_3_0x4000, LD_4_8_3]}
    text, _, fault = boot(patched(tmp_path, tale, functions), CpuKind.UNICORN)
    assert "exception:" not in text
    assert fault is not None and "read of 8 bytes at 0x40000008" in fault.message
    assert "xell_exception" in fault.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_probe_goes_on_behind_its_exception(tmp_path: Path, kind: CpuKind) -> None:
    functions = {
        "probe_dcbz": [ILLEGAL],
        "probe_reservation": [LIS_3_0x4000, LD_4_8_3, BLR],
        "codes_of_estimates": [BLR],
        "speed_of_time_base": [BLR],
        "speed_of_memory": [ILLEGAL],  # what stops the page
    }
    text, _, fault = boot(patched(tmp_path, self_test(), functions), kind)
    assert "\ndcbz exception 700 128 " in text
    assert "\nreservation exception 300 " in text
    assert field(text, "exception: vector") == 0x700
    assert fault is not None and "speed_of_memory" in fault.message

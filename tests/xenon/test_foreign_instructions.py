"""Tests of instructions that Xenon lacks: a run refuses what `scan` finds, however it runs; but no data."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import run_command
from elf_files import CODE_ADDRESS, FUNCTION, Label, elf_file
from systems import RECOMPILER

from xenon.console import Console, CpuKind, MachineSettings
from xenon.errors import ErrorCode
from xenon.hardware.cpu import Protection, Trap, TrapKind
from xenon.hardware.memory_map import PAGE_BYTES
from xenon.linux.faults import GuestFault
from xenon.machine import Machine
from xenon.powerpc.foreign import ForeignInstructions, Why, refused_word, verdict
from xenon.powerpc.isa import Kind, encoding, table
from xenon.powerpc.words import indices_of
from xenon.profile.scan import scan_program

KINDS = [CpuKind.UNICORN, pytest.param(CpuKind.RECOMPILER, marks=RECOMPILER)]
SC, BLR, NOP = 0x44000002, 0x4E800020, 0x60000000
ISEL_R3_R4_R5, VMULEUB, POPCNTD, XXLXOR = 0x7C64289E, 0x10A42208, 0x7C8303F4, 0xF0000CD0
LI_R0_EXIT = 0x38000001
# What the table has, in words with other registers than 0, and which mean nothing else on Xenon.
FOREIGN = [
    row.opcode | 0x00A42000 & ~row.mask
    for row in table()
    if row.kind in (Kind.REMOVED, Kind.ABSENT) and encoding(row.opcode | 0x00A42000 & ~row.mask) is None
]


def machine_with(words: list[int], kind: CpuKind, allowed: frozenset[str] | None = frozenset()) -> Machine:
    """A machine with these words, and a system call behind each, at CODE_ADDRESS."""
    machine = Machine(MachineSettings(cpu=kind, allowed=allowed))
    code = b"".join(struct.pack(">2I", word, SC) for word in words)
    machine.memory.write(CODE_ADDRESS, code)
    size = len(code) + -len(code) % PAGE_BYTES
    machine.pages.map(CODE_ADDRESS, size, Protection.READ | Protection.EXECUTE)
    return machine


def traps(machine: Machine, count: int) -> list[Trap]:
    return [machine.cpus[0].run(CODE_ADDRESS + 8 * index) for index in range(count)]


def program(*words: int) -> bytes:
    """main: these words, then exit(0)."""
    code = struct.pack(f">{len(words) + 3}I", *words, 0x38600000, LI_R0_EXIT, SC)
    return elf_file(code, [Label("main", CODE_ADDRESS, len(code), FUNCTION)])


def fault_of(elf: bytes, kind: CpuKind, allowed: frozenset[str] = frozenset()) -> GuestFault:
    console = Console(MachineSettings(cpu=kind, allowed=allowed))
    console.boot(elf, name="port")
    with pytest.raises(GuestFault) as caught:
        list(console.run(timeout=20))
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_no_instruction_of_another_powerpc_is_executed(kind: CpuKind) -> None:
    assert len(FOREIGN) > 440
    refused = {TrapKind.FOREIGN, TrapKind.ILLEGAL_INSTRUCTION, TrapKind.UNAVAILABLE}
    ended = traps(machine_with(FOREIGN, kind), len(FOREIGN))
    executed = [
        hex(word)
        for index, (word, trap) in enumerate(zip(FOREIGN, ended, strict=True))
        if trap.kind not in refused or trap.pc != CODE_ADDRESS + 8 * index
    ]
    assert executed == []


def test_those_that_are_allowed_are_executed() -> None:
    words = [ISEL_R3_R4_R5, POPCNTD, VMULEUB, XXLXOR]
    kinds = [trap.kind for trap in traps(machine_with(words, CpuKind.UNICORN, None), 4)]
    assert kinds == [TrapKind.SYSTEM_CALL] * 4
    machine = machine_with(words, CpuKind.UNICORN, frozenset({"popcntd", "xxlxor"}))
    kinds = [trap.kind for trap in traps(machine, 4)]
    assert kinds == [TrapKind.FOREIGN, TrapKind.SYSTEM_CALL, TrapKind.FOREIGN, TrapKind.SYSTEM_CALL]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("word", "name", "reason", "remedy"),
    [
        (ISEL_R3_R4_R5, "isel", "ISA 2.03 (POWER7 in practice)", "-mcpu=970"),
        (VMULEUB, "vmuleub", "AltiVec, removed on Xenon", "-mcpu=970-altivec"),
        (XXLXOR, "xxlxor", "VSX (POWER7, POWER8)", "-mno-vsx"),
    ],
)
def test_a_fault_names_instruction_place_reason_and_remedy(
    word: int, name: str, reason: str, remedy: str, kind: CpuKind
) -> None:
    fault = fault_of(program(NOP, word), kind)
    what = f"port: {name} (0x{word:08x}), which Xenon does not have: {reason}"
    assert fault.message == f"{what} (PC 0x{CODE_ADDRESS + 4:08x}, main+0x4)"
    assert remedy in fault.hint
    assert fault.code is ErrorCode.FOREIGN_INSTRUCTION
    assert fault.fields["allowed_as"] == name


def test_the_command_line_lets_run_what_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "port"
    path.write_bytes(program(ISEL_R3_R4_R5, POPCNTD))
    ended = run_command("run", path)
    assert ended.returncode == 3
    assert ended.stderr.splitlines()[-1].endswith(b"; --allow isel lets it run here")
    assert b"popcntd (0x7c8303f4), which Xenon" in run_command("run", "--allow", "isel", path).stderr
    for options in (["--allow", "isel,popcntd"], ["--allow", "all"], ["--cpu-model", "power"]):
        assert run_command("run", *options, path).returncode == 0
    wrong = run_command("run", "--allow", "popcntx", path)
    assert wrong.returncode == 2 and b"did you mean 'popcnt" in wrong.stderr
    assert b"Xenon has this instruction" in run_command("run", "--allow", "fsel", path).stderr


@pytest.mark.parametrize("kind", KINDS)
def test_data_like_foreign_words_is_no_fault_and_few_hooks(kind: CpuKind) -> None:
    data = [ISEL_R3_R4_R5, VMULEUB] * 1500
    words: list[int] = []
    for _ in range(4):  # li r4, 500; mtctr r4; bdnz .; b over the data
        words += [0x388001F4, 0x7C8903A6, 0x42000000, 0x48000004 + 4 * len(data), *data]
    console = Console(MachineSettings(cpu=kind))
    console.boot(program(*words))
    assert list(console.run(timeout=20)) == []
    assert console.exit_status == 0
    assert len(console.cpus[0].instruction_hooks.stretches) <= 5


@pytest.mark.parametrize("kind", KINDS)
def test_code_that_becomes_foreign_is_found(kind: CpuKind) -> None:
    machine = machine_with([NOP, NOP], kind)
    assert [trap.kind for trap in traps(machine, 2)] == [TrapKind.SYSTEM_CALL] * 2
    machine.memory.write(CODE_ADDRESS + 8, struct.pack(">I", ISEL_R3_R4_R5))
    machine.pages.written(CODE_ADDRESS + 8, 4)
    assert [trap.kind for trap in traps(machine, 2)] == [TrapKind.SYSTEM_CALL, TrapKind.FOREIGN]


def test_a_run_refuses_what_a_scan_finds() -> None:
    chance = np.random.default_rng(13)
    words = [*chance.integers(1 << 26, 1 << 32, 20_000, dtype=np.uint32).tolist(), *FOREIGN]
    code = struct.pack(f">{len(words)}I", *words)
    refused = {words[index] for index in indices_of((ForeignInstructions(),), code)}
    for word in words:
        judged = verdict(word)
        assert (judged is not None and judged.why is not Why.AMBIGUOUS) is (word in refused)
        assert (word in ForeignInstructions()) is (word in refused)


def test_a_word_that_xenon_has_is_not_blamed_on_the_compiler() -> None:
    lvlx = refused_word(0x7C64240E)
    assert lvlx.what == "lvlx (0x7c64240e), which Xenon has and this emulator needs llvmlite for"
    assert lvlx.remedy == "pip install llvmlite" and lvlx.fields == {}
    nothing = refused_word(0)
    assert nothing.what == "illegal instruction 0x00000000"
    assert "jump" in nothing.remedy


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("word", "what"),
    [
        (0x7C70FAA6, "mfspr of HID0 (1008)"),
        (0x7C6000A6, "mfmsr"),
        (0x7CA903A6 ^ (9 ^ 25) << 16, "mtspr of SDR1 (25)"),
    ],
)
def test_an_instruction_of_the_operating_system_is_called_so(word: int, what: str, kind: CpuKind) -> None:
    fault = fault_of(program(word), kind)
    assert fault.message.startswith(f"port: {what}, which the operating system alone may execute")


@pytest.mark.parametrize("kind", KINDS)
def test_a_trap_instruction_is_called_so(kind: CpuKind) -> None:
    fault = fault_of(program(0x7FE00008), kind)
    assert fault.message.startswith("port: trap instruction (a check")


def test_printf_of_zigs_library_is_clean_without_altivec_in_the_library(build: Callable[..., Path]) -> None:
    """And with vectors in the program itself."""
    elf = build("vectors", "musl", "-Xclang", "-target-feature", "-Xclang", "+altivec").read_bytes()
    assert scan_program(elf) == []
    console = Console()
    console.boot(elf, name="vectors")
    printed = b"".join(output.data for output in console.run(timeout=20))
    assert printed == b"3.14159 12345678901234567890 0x1.8p+1 6 8 10 12\n"

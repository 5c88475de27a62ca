"""A floating-point exception that the program has enabled ends it where it occurs, if MSR has FE0 or FE1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xenon.console import Console, CpuKind, MachineSettings
from xenon.errors import ErrorCode
from xenon.hardware.unicorn.engine_memory import engine_layout
from xenon.linux.faults import GuestFault
from xenon.linux.uapi import Signal
from xenon.recompiler.cpu_kind import installed

pytestmark = [
    pytest.mark.skipif(not installed(), reason="instructions are handed over to code of llvmlite's"),
    pytest.mark.skipif(engine_layout() is None, reason="where an engine has its registers is not known here"),
]

_PATIENCE = 60  # seconds until a test gives up
_DISABLED, _PRECISE = "0", "3"
_OPERATIONS = (
    ("invalid operation", "FPE_FLTINV", "divide"),
    ("division by zero", "FPE_FLTDIV", "divide"),
    ("overflow", "FPE_FLTOVF", "multiply"),
    ("underflow", "FPE_FLTUND", "multiply"),
    ("inexact result", "FPE_FLTRES", "divide"),
    ("invalid operation", "FPE_FLTINV", "convert"),
)


@pytest.fixture(scope="module")
def program(build: Any) -> Path:
    path: Path = build("traps", "freestanding", "-mcpu=970")
    return path


def run(
    program: Path, way: str, operation: int, mode: str, handler: str = "0"
) -> tuple[list[int], GuestFault | None]:
    """What the program has written as numbers, and its fault if it had one."""
    console = Console(MachineSettings(cpu=CpuKind.UNICORN if way == "unicorn" else CpuKind.RECOMPILER))
    console.boot(program, [str(operation), "20000" if way == "moving up" else "1", mode, handler])
    if way == "compiled":
        console.compile(["divide", "multiply", "convert", "run"])
    text, fault = b"", None
    try:
        for output in console.run(_PATIENCE):
            text += output.data
    except GuestFault as error:
        fault = error
    return [int(line, 16) for line in text.split()], fault


@pytest.mark.parametrize("way", ["unicorn", "moving up", "compiled"])
@pytest.mark.parametrize("operation", range(len(_OPERATIONS)))
def test_an_enabled_exception_ends_the_program_at_its_instruction(
    program: Path, way: str, operation: int
) -> None:
    written, fault = run(program, way, operation, _PRECISE)
    assert written == [0, 3]
    assert fault is not None
    name, code, function = _OPERATIONS[operation]
    assert f"{name} (SIGFPE, {code})" in str(fault)
    assert "PC 0x" in str(fault) and f"{function}" in str(fault)
    assert fault.code is ErrorCode.GUEST_SIGNAL
    assert fault.fields["signal"] == Signal.SIGFPE
    mnemonic = {"divide": "fdiv", "multiply": "fmul", "convert": "fctiwz"}[function]
    assert any("->" in line and mnemonic in line for line in fault.report.splitlines())


@pytest.mark.parametrize("way", ["unicorn", "compiled"])
@pytest.mark.parametrize("operation", range(len(_OPERATIONS)))
def test_no_exception_traps_unless_the_program_asks_for_it(program: Path, way: str, operation: int) -> None:
    assert run(program, way, operation, _DISABLED) == ([0, 0, 0x600D], None)


@pytest.mark.parametrize("way", ["unicorn", "moving up", "compiled"])
@pytest.mark.parametrize(("operation", "code"), [(0, 7), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7)])
def test_a_handler_is_told_of_the_exception_and_comes_back(
    program: Path, way: str, operation: int, code: int
) -> None:
    written, fault = run(program, way, operation, _PRECISE, handler="1")
    assert fault is None
    assert written == [0, 3, Signal.SIGFPE, code, 1, 0x600D]


def test_a_handler_of_abi_v1_is_known_by_its_descriptor(build: Any) -> None:
    written, fault = run(build("traps", "freestanding-v1", "-mcpu=970"), "unicorn", 1, _PRECISE, handler="1")
    assert fault is None
    assert written == [0, 3, Signal.SIGFPE, 3, 1, 0x600D]


def test_another_mode_than_linux_knows_is_refused(program: Path) -> None:
    written, fault = run(program, "unicorn", 1, "4")
    assert written[1:] == [0, 0x600D]
    assert fault is None

"""The console as Python sees it: boots programs, hands out what they write, tells what they did wrong."""

from __future__ import annotations

import io
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from systems import RECOMPILER, need

from xenon.console import MIB, MOST_WAITING, Bytes, Console, MachineSettings, Output
from xenon.errors import ErrorCode, XenonError
from xenon.linux.faults import GuestFault
from xenon.machine import LimitReached
from xenon.recompiler.cpu_kind import CpuKind

PATIENCE = 30  # seconds: far more than stopping takes, on a host with other work too


def _run(program: Path, *arguments: str, settings: MachineSettings | None = None) -> tuple[Console, bytes]:
    console = Console(settings)
    console.boot(program, arguments)
    written = b"".join(output.data for output in console.run(timeout=20))
    return console, written


def test_a_program_of_one_call_ends_with_its_status(small_elf: bytes) -> None:
    console = Console()
    console.boot(small_elf, name="small")
    assert list(console.run()) == []
    assert console.exit_status == 7


@pytest.mark.parametrize("how", ["freestanding", "freestanding-v1"])
def test_a_program_finds_its_arguments_and_environment(build: Any, how: str) -> None:
    console = Console()
    console.boot(build("report", how), ["one", b"\xff"], {"NAME": "value"}, name="it")
    lines = b"".join(output.data for output in console.run()).split(b"\n")
    assert lines[:5] == [b"stack aligned", b"it", b"one", b"\xff", b"NAME=value"]
    assert console.exit_status == 42


FAULTS = {
    "null": (r"read of 4 bytes at 0x10: null pointer \(PC 0x\w+, read_at", "lwz"),
    "wild": (r"read of 4 bytes at 0x1cafe000: not mapped", "lwz"),
    "outside": (r"read of 4 bytes at 0x123456789000: not mapped", "lwz"),
    "system": (r"write of 4 bytes at 0x1e000000: not mapped \(PC 0x\w+, misdeed\+", "stw"),
    "text": (r"write of 4 bytes at 0x\w+: the page is read\+execute only", "stw"),
    "readonly": (r"write of 4 bytes at 0x[89]\w+: the page is read\+execute only", "stw"),
    "device": (r"jump to 0x7fc80000: registers of a device, no memory", "no code at 0x7fc80000"),
    "hidden": (r"read of 4 bytes at 0x1[cd]\w+: the page is not for any access", "lwz"),
    "jump": (r"jump to 0x0: null pointer \(PC 0x00000000, LR 0x\w+, misdeed\+", "no code at 0x0"),
    "data": (r"jump to 0x1d\w+: the page is read\+write only", ".long"),
    "view": (r"illegal instruction 0x00000000 \(PC 0x[89]", ".long 0x00000000"),
    "viewed": (r"jump to 0xbd\w+: the page is read\+write only", ".long"),
    "illegal": (r"illegal instruction 0x00000000 \(", ".long 0x00000000"),
    "vsx": (r"lxvd2x \(0x7c002698\), which Xenon does not have: VSX load or store", "7c002698"),
    "trap": (r"trap instruction", "trap"),
    "misaligned": (r"misaligned address", "lwarx"),
    "unknown": (r"system call 326 \(socket\) with \(0x2, 0x1, 0x0, 0x0, 0x0, 0x0\) is not served", "sc"),
    "number": (r"system call 999 \(unknown to Linux\) with \(0x1, 0x2, 0x3", "sc"),
    "overflow": (
        r"stack overflow: write of 8 bytes at 0x\w+, below the stack of \d+ MiB \(PC 0x\w+, deep",
        "std",
    ),
    "futex": (r"the only thread waits for ever at the lock 0x1d", "sc"),
}


@pytest.mark.parametrize("misdeed", FAULTS)
@pytest.mark.parametrize("how", ["freestanding", "freestanding-v1"])
def test_a_misdeed_is_a_fault_that_shows_the_place(build: Any, how: str, misdeed: str) -> None:
    message, code = FAULTS[misdeed]
    with pytest.raises(GuestFault, match=message) as caught:
        _run(build("misdeeds", how), misdeed)
    fault = caught.value
    assert fault.code is (ErrorCode.FOREIGN_INSTRUCTION if misdeed == "vsx" else ErrorCode.GUEST_FAULT)
    assert "\n" not in fault.message
    report = fault.report
    assert all(f" r{number} " in report for number in (10, 31))
    assert "CTR" in report
    assert code in report
    assert "_start" in report or misdeed in ("overflow", "data", "viewed")
    marked = [line for line in report.splitlines() if line.startswith("  -> ")]
    assert len(marked) == (0 if misdeed in ("jump", "device") else 1)


@pytest.mark.parametrize("kind", [CpuKind.UNICORN, CpuKind.RECOMPILER])
def test_a_delay_loop_on_the_time_base_ends(
    kind: CpuKind, make_elf: Callable[..., bytes], part: Callable[..., Any]
) -> None:
    if kind is CpuKind.RECOMPILER:
        need(RECOMPILER)
    words = [
        0x7CEC42E6, 0x38E74E20,  # mftb r7; addi r7, r7, 20000: 0.4 ms at 49.875 MHz
        0x7D0C42E6, 0x7C283840, 0x4180FFF8,  # mftb r8; cmpld r8, r7; blt back
        0x7C7F42A6, 0x5463843E,  # mfpvr r3; srwi r3, r3, 16
        0x380000EA, 0x44000002,  # exit_group
    ]  # fmt: skip
    console = Console(MachineSettings(cpu=kind))
    console.boot(make_elf([part(0x10000, struct.pack(f">{len(words)}I", *words))], 0x10000))
    assert list(console.run(timeout=60)) == []
    assert console.exit_status == 0x71  # PVR 0x00710800


def test_an_abort_says_so_and_ends_with_134(build: Any) -> None:
    with pytest.raises(GuestFault, match=r"the program aborted \(SIGABRT\)") as caught:
        _run(build("hosted", "musl"), "abort")
    assert (caught.value.code, caught.value.fields) == (ErrorCode.GUEST_SIGNAL, {"signal": 6})
    assert "main" in caught.value.report


def test_output_before_a_fault_is_not_lost(build: Any) -> None:
    console = Console()
    console.boot(build("hosted", "musl"), ["error", "abort"])
    seen = []
    with pytest.raises(GuestFault):
        for output in console.run():
            seen.append(output)
    assert seen == [Output(2, b"to stderr\n")]


@pytest.mark.parametrize("misdeed", ["spin", "calls", "sleep", "read", "flood"])
def test_the_time_limit_ends_everything_a_program_can_wait_in(misdeeds: Path, misdeed: str) -> None:
    reader, writer = os.pipe()
    started = time.monotonic()
    with os.fdopen(reader, "rb") as stdin:
        console = Console(stdin=stdin)
        console.boot(misdeeds, [misdeed])
        with pytest.raises(LimitReached, match=r"time limit of 0.2 s") as caught:
            for _ in console.run(timeout=0.2):
                pass
    os.close(writer)
    assert caught.value.code is ErrorCode.LIMIT_REACHED
    assert time.monotonic() - started < PATIENCE  # the program itself waits 1000 s or for ever
    assert console.exit_status is None


def test_a_program_waits_for_a_reader_that_is_far_behind(misdeeds: Path) -> None:
    console = Console()
    console.boot(misdeeds, ["flood"])
    pieces = 0
    with pytest.raises(LimitReached):
        for _ in console.run(timeout=1):
            if pieces == 0:
                time.sleep(1.5)  # the program fills what there is room for, and its time runs out
            pieces += 1
    assert pieces == 1 + MOST_WAITING


@pytest.mark.parametrize("misdeed", ["spin", "flood"])
def test_closing_the_generator_stops_the_machine(misdeeds: Path, misdeed: str) -> None:
    console = Console()
    console.boot(misdeeds, [misdeed])
    outputs = console.run()
    assert next(outputs).fd == 1
    outputs.close()
    assert list(outputs) == []


def test_the_instruction_limit_ends_a_program(misdeeds: Path) -> None:
    console = Console()
    console.boot(misdeeds, ["spin"])
    with pytest.raises(LimitReached, match="instruction limit"):
        list(console.run(instructions=100_000))


def test_a_smaller_machine_gives_a_program_less(build: Any) -> None:
    console, written = _run(build("hosted", "musl"), "too-much")
    assert written == b"Out of memory\n"
    assert 32 * MIB < console.memory.high_water < 64 * MIB
    with pytest.raises(XenonError, match=r"stack asks for 16.1 MiB"):
        _run(build("hosted", "musl"), settings=MachineSettings(memory_bytes=40 * MIB))


def test_the_largest_program_still_finds_418_mib_for_a_model(build: Any) -> None:
    console = Console()
    console.disc.add("/model.bin", Bytes(bytes(418 * MIB)))
    console.boot(build("hosted", "musl"), ["map", "/model.bin"])
    assert b"".join(output.data for output in console.run()) == b"mapped 438304768\n"


def test_a_console_boots_one_program(small_elf: bytes) -> None:
    console = Console()
    with pytest.raises(XenonError, match="nothing to run"):
        next(console.run())
    console.boot(small_elf)
    with pytest.raises(XenonError, match="booted already"):
        console.boot(small_elf)


def test_a_zero_byte_in_an_argument_is_refused(small_elf: bytes) -> None:
    with pytest.raises(XenonError, match="zero byte"):
        Console().boot(small_elf, ["a\0b"])


def test_two_consoles_do_not_know_each_other(build: Any) -> None:
    first, second = (Console(stdin=io.BytesIO(text)) for text in (b"1\n2\n", b"30\n"))
    for console in (first, second):
        console.boot(build("hosted", "musl"), ["input"])
    outputs = [b"".join(output.data for output in console.run()) for console in (second, first)]
    assert outputs == [b"1 lines, sum 30\n", b"2 lines, sum 3\n"]

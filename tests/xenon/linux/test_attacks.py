"""A program that attacks: every system call that takes an address, with hostile ones, on both CPUs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from guards import behind, page_table
from systems import RECOMPILER, need

from xenon.console import Bytes, Console, CpuKind, MachineSettings
from xenon.hardware.memory_map import SYSTEM
from xenon.linux.call_names import CALL_NUMBERS, call_name
from xenon.linux.syscalls import CALL_TABLE

KINDS = {"Pointer": "p", "Size": "s", "Int": "n", "UnsignedInt": "n", "Long": "n"}
CHOSEN = {
    "mmap": "psnfoo", "mprotect": "psn", "mremap": "pssn", "madvise": "psd", "getdents64": "ypc",
    "sched_getaffinity": "ocp", "_llseek": "xoopo", "prlimit64": "onop", "prctl": "mopcp",
    "unlinkat": "npo", "renameat2": "npnpo",
}  # fmt: skip
"""Calls that refuse other arguments before they look at an address; the letters are those of attacks.c. The
letters of other calls come from their declaration."""
NEVER = {"mmap", "mprotect", "mremap", "munmap", "pwrite64", "ioctl"}
"""No address is a whole page of the program, no file can be written, no stream is a terminal: these fail."""
NO_FAULT = NEVER | {"brk", "madvise"}
"""Look at no memory of the program."""
STARTS_CODE = {"xenon_run_thread_task"}
"""Takes the address of code, and is a fault on a console of one hardware thread."""
CANARY = b"the system's own" * 256


def attacks() -> dict[str, str]:
    """Each system call that takes an address, by its name: a letter for each parameter."""
    table = {}
    for number, call in CALL_TABLE.items():
        _, *parameters = inspect.signature(call.function).parameters.values()
        kinds = "".join(KINDS[parameter.annotation] for parameter in parameters)
        if "p" in kinds and call_name(number) not in STARTS_CODE:
            table[call_name(number)] = CHOSEN.get(call_name(number), kinds)
    return table


@pytest.fixture(scope="module")
def attacker(build: Callable[..., Path]) -> Path:
    return build("attacks", "freestanding")


def outcomes(program: Path, kind: CpuKind) -> dict[str, list[int]]:
    """By call: how often it ended well, in EFAULT, in EINVAL, in ENOMEM, in another errno."""
    console = Console(MachineSettings(cpu=kind))
    console.disc.add("/data/numbers.bin", Bytes(bytes(range(256)) * 40))
    console.boot(program, [f"{CALL_NUMBERS[name]}{kinds}" for name, kinds in attacks().items()])
    console.memory.write(SYSTEM.start, CANARY)
    console.memory.write(SYSTEM.end - len(CANARY), CANARY)
    output = b"".join(piece.data for piece in console.run(timeout=100) if piece.fd == 1)
    assert console.exit_status == 0, output[-200:]
    assert output.endswith(b"\nsurvived\n")
    assert console.memory.read(SYSTEM.start, len(CANARY)) == CANARY
    assert console.memory.read(SYSTEM.end - len(CANARY), len(CANARY)) == CANARY
    assert behind(console.memory) == page_table(console.machine.pages)
    rows = [line.split() for line in output.splitlines() if line.startswith(b"call ")]
    return {call_name(int(number)): [int(count) for count in counts] for _, number, *counts in rows}


def check(counts: dict[str, list[int]]) -> None:
    assert set(counts) == set(attacks())
    for name, (well, fault, *_) in counts.items():
        assert well == 0 or name not in NEVER, name
        assert fault > 0 or name in NO_FAULT, name


def test_a_program_that_attacks_by_system_calls_gets_errnos_and_harms_nothing(attacker: Path) -> None:
    counts = outcomes(attacker, CpuKind.UNICORN)
    check(counts)
    assert sum(sum(row) for row in counts.values()) > 20_000
    need(RECOMPILER)
    assert outcomes(attacker, CpuKind.RECOMPILER) == counts

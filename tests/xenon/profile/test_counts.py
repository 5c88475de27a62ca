"""Instruction counts are exact: those of a hook on every instruction, and the same on both ways to run."""

from __future__ import annotations

import ctypes
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import unicorn
from executed_code import counted, executed, functions_at
from support import LONG, WHOLE, sample
from unicorn import arm64_const as arm

import llama2c
import loader
from llama2c.facts import hot_functions
from xenon.console import Console, CpuKind, MachineSettings
from xenon.hardware.unicorn import instruments
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.profile.counts import added, read_counts
from xenon.recompiler.outcome import Tier

JOBS = [["loop", "3"], ["pointer", "5"], ["deep", "300"], ["fault"]]
LONGEST = 1 << 20 if WHOLE else 400
"""Instructions of a function that a test compiles."""


class StillClock:
    """Two runs must not differ in the digits of a time that they print."""

    def realtime(self) -> int:
        return 10**18

    monotonic = realtime

    def wait(self, nanoseconds: int, event: Any) -> bool:
        return False


@pytest.fixture(scope="module")
def program(build: Callable[..., Path]) -> Path:
    return build("hot", "musl", "-O2")


@pytest.mark.parametrize("compiled", [True, False], ids=["machine code", "Python"])
@pytest.mark.parametrize("job", sample(JOBS, 2), ids=lambda job: job[0])
def test_counts_are_those_of_a_hook_on_every_instruction(
    program: Path, job: list[str], compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr("platform.machine", lambda: "another")
    one_by_one: Counter[int] = Counter()
    consoles = [
        Console(MachineSettings(cpu=CpuKind.UNICORN, measured=True), clock=StillClock()) for _ in range(2)
    ]
    for console in consoles:
        console.boot(program, job)
    (cpu,) = consoles[0].cpus

    def see(_engine: object, address: int, _size: int, _: object) -> None:
        one_by_one[address] += 1

    cpu._engine.hook_add(unicorn.UC_HOOK_CODE, see)
    by_hook, alone = (executed(counted(console)) for console in consoles)
    if job == ["fault"]:  # the hook sees the instruction at fault, which is not executed
        assert (one_by_one - Counter(by_hook)).total() == 1
        one_by_one = Counter(by_hook)
    assert by_hook == one_by_one
    assert alone == by_hook


@pytest.mark.usefixtures("quick_code")
@pytest.mark.parametrize("job", [*JOBS, ["overrun"]], ids=lambda job: " ".join(job))
def test_counts_are_the_same_in_compiled_code(program: Path, job: list[str]) -> None:
    """Of the functions that the program executes, all that are not long are compiled."""
    results: list[dict[int, int]] = []
    for kind in (CpuKind.UNICORN, CpuKind.RECOMPILER):
        console = Console(MachineSettings(cpu=kind, measured=True), clock=StillClock())
        console.boot(program, job)
        if console.recompiler is not None:
            for address in functions_at(console.recompiler, results[0], LONGEST):
                console.recompiler.compile(address)
            assert any(outcome.tier is Tier.COMPILED for outcome in console.recompiler.outcomes.values())
        counts = counted(console)
        assert all((stretch.unicorn >= 0).all() and (stretch.compiled >= 0).all() for stretch in counts)
        assert any(stretch.compiled.any() for stretch in counts) is (kind is CpuKind.RECOMPILER)
        results.append(executed(counts))
    assert results[0] == results[1]


@pytest.mark.usefixtures("quick_code")
@pytest.mark.parametrize("kernel", ["vmx", pytest.param("scalar", marks=LONG)])
def test_a_story_takes_the_same_instructions_on_both_ways_to_run(kernel: str) -> None:
    """All hot functions are compiled in the long form, else a few that each run chooses anew."""
    names = sample(sorted({*hot_functions(kernel)} - {"main"}), 14, ["forward", f"rows_{kernel}"])
    print("compiled:", *names)  # shown where the test fails
    model = loader.open(llama2c.bundled_model())
    tokenizer = loader.find_tokenizer(model)
    results = []
    for kind in (CpuKind.UNICORN, CpuKind.RECOMPILER):
        console = Console(MachineSettings(cpu=kind, measured=True), clock=StillClock())
        console.disc.add("/model.bin", model.image(loader.ByteOrder.BIG))
        console.disc.add("/tokenizer.bin", tokenizer.image(loader.ByteOrder.BIG))
        words = ["/model.bin", "-z", "/tokenizer.bin", "-t", "0", "-s", "1", "-n", "9", "-k", kernel]
        console.boot(llama2c.guest_program(), words)
        if console.recompiler is not None:
            for address in console.recompiler.functions.addresses_of(set(names)):
                console.recompiler.compile(address)
        results.append(executed(counted(console)))
        assert console.exit_status == 0
    assert results[0] == results[1]
    assert sum(results[0].values()) > 1_000_000


def test_a_long_row_of_instructions_is_counted_once_wherever_the_engine_cuts_it(
    make_elf: Callable[..., bytes], part: type[Any]
) -> None:
    # 3000 times addi r4, r4, 1, over three pages; then li r3, 0; li r0, 234; sc
    code = struct.pack(">3003I", *[0x38840001] * 3000, 0x38600000, 0x380000EA, 0x44000002)
    console = Console(MachineSettings(cpu=CpuKind.UNICORN, measured=True))
    console.boot(make_elf([part(0x10000, code)], 0x10000))
    assert executed(counted(console)) == {0x10000 + 4 * index: 1 for index in range(3003)}


def test_a_stop_before_a_block_does_not_count_it_twice(program: Path) -> None:
    results = []
    for pauses in (0, 50):
        console = Console(MachineSettings(cpu=CpuKind.UNICORN, measured=True), clock=StillClock())
        console.boot(program, ["loop", "60"])
        (measured,) = console.cpus
        outputs = console.run(timeout=60)
        if pauses:
            import threading

            def pause(times: int = pauses, cpu: UnicornCpu = measured) -> None:
                for _ in range(times):
                    with cpu.pause.paused():
                        pass

            thread = threading.Thread(target=pause)
            thread.start()
            list(outputs)
            thread.join()
        else:
            list(outputs)
        assert measured.instruments is not None
        results.append(executed(added(read_counts(console.memory, [measured.instruments]))))
    assert results[0] == results[1]


def test_the_hook_for_arm_counts_and_calls_back_when_a_flag_is_set() -> None:
    code, data, callback = 0x10_0000, 0x1000_0000, 0x20_0000
    flag = 1136
    engine = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
    engine.mem_map(code, 4096)
    engine.mem_map(callback, 4096)
    engine.mem_map(data, 4096)
    table = data + instruments.UNICORN_AT
    engine.mem_map(table & -4096, 8192)
    engine.mem_write(code, instruments._arm(flag, callback))

    def run() -> int:
        for register, value in ((arm.UC_ARM64_REG_X1, 0x100), (arm.UC_ARM64_REG_X2, 12)):
            engine.reg_write(register, value)
        engine.reg_write(arm.UC_ARM64_REG_X3, data)
        engine.reg_write(arm.UC_ARM64_REG_X30, code + 0x800)
        engine.hook_add(
            unicorn.UC_HOOK_CODE, lambda uc, address, size, _: uc.emu_stop(), None, callback, callback
        )
        engine.emu_start(code, code + 0x800)
        return int(engine.reg_read(arm.UC_ARM64_REG_PC))

    assert run() == code + 0x800
    assert struct.unpack("<q", engine.mem_read(table + 2 * 0x100, 8)) == (1,)
    assert struct.unpack("<q", engine.mem_read(table + 2 * 0x10C, 8)) == (-1,)
    assert struct.unpack("<Q", engine.mem_read(data + instruments.BLOCK_END_AT, 8)) == (0x10C,)
    engine.mem_write(data + flag + 4, b"\1")
    assert run() == callback
    assert struct.unpack("<q", engine.mem_read(table + 2 * 0x100, 8)) == (1,)


def test_instruments_see_the_flags_that_engines_look_at() -> None:
    attached = instruments.Instruments(64)
    attached.wanted.value = 1
    assert ctypes.c_uint64.from_address(attached.host_address + 64).value == 1 << 32

"""Programs of other people's making: the same output and the same faults as on Unicorn, and they can be
stopped."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path

import pytest
from executed_code import counted, executed, functions_at
from support import WHOLE, compiling_quickly, sample
from systems import RECOMPILER

from xenon.console import Console, CpuKind, MachineSettings
from xenon.errors import XenonError
from xenon.linux.faults import GuestFault
from xenon.recompiler.outcome import Tier

pytestmark = RECOMPILER


@pytest.fixture(scope="module")
def program(build: Callable[..., Path]) -> Path:
    return build("hot", "musl", "-O3")


def booted(
    program: Path,
    arguments: list[str],
    kind: CpuKind,
    compiled: bool = True,
    tier: Tier = Tier.COMPILED,
    others: Iterable[int] = (),
) -> Console:
    """The program's own functions are compiled to this tier; those that hold the addresses `others`, and in
    the long form all that are called, quickly."""
    console = Console(MachineSettings(cpu=kind))
    console.boot(program, arguments)
    if console.recompiler is not None and compiled:
        named = {one.name: one.address for one in console.recompiler.functions}
        own = [named[name] for name in ("main", "dot", "deep", "touch") if name in named]
        for address in own:
            console.recompiler.compile(address, tier=tier)
        if WHOLE:
            console.recompiler.compile_all(own, tier)
        with compiling_quickly():
            for address in functions_at(console.recompiler, others):
                console.recompiler.compile(address)
    return console


def output(console: Console, timeout: float = 60) -> bytes:
    written = b"".join(one.data for one in console.run(timeout))
    assert console.exit_status == 0, written
    return written


def hand_overs(console: Console) -> int:
    assert console.recompiler is not None
    (code,) = console.recompiler.attached
    return code.hand_overs


@pytest.mark.parametrize(
    ("words", "tier"),
    sample(product(("loop 40", "pointer 300", "deep 5000"), (Tier.COMPILED, Tier.OPTIMISED)), 2),
)
def test_output_is_that_of_unicorn(program: Path, words: str, tier: Tier) -> None:
    """Of libc, all functions that the program executes are compiled."""
    arguments = words.split()
    measured = Console(MachineSettings(cpu=CpuKind.UNICORN, measured=True))
    measured.boot(program, arguments)
    console = booted(program, arguments, CpuKind.RECOMPILER, tier=tier, others=executed(counted(measured)))
    assert output(console) == output(booted(program, arguments, CpuKind.UNICORN))
    assert hand_overs(console) > 0


@pytest.mark.parametrize("how", ["fault", "overrun"])
def test_a_fault_in_compiled_code_is_reported_as_on_unicorn(program: Path, how: str) -> None:
    reports = []
    for kind in CpuKind:
        with pytest.raises(GuestFault) as caught:
            list(booted(program, [how], kind).run(timeout=60))
        reports.append(str(caught.value))
    assert reports[0] == reports[1]
    assert "touch" in reports[0]


def test_a_loop_that_is_never_left_is_compiled_while_it_runs(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # another test's image would have it from its entry
    console = booted(program, ["loop", "6000"], CpuKind.RECOMPILER, compiled=False)
    output(console)
    assert console.recompiler is not None
    named = {one.name: one for one in console.recompiler.functions}
    outcome = console.recompiler.outcomes[console.recompiler.entries_of(named["main"].address)]
    assert outcome.tier is not Tier.UNICORN
    assert outcome.inside is not None  # where it was seen
    assert hand_overs(console) > 0


def test_a_loop_that_is_never_left_goes_on_in_optimised_code(program: Path) -> None:
    console = booted(program, ["forever"], CpuKind.RECOMPILER, compiled=False)
    assert console.recompiler is not None
    (code,) = console.recompiler.attached
    given_up = threading.Event()

    def watch() -> None:
        while not (code.is_running and code.under_way[1]):
            if given_up.wait(0.01):
                return
        _thread.interrupt_main()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(console.run(timeout=100))
    finally:
        given_up.set()
        watcher.join()
    tiers = {outcome.tier for outcome in console.recompiler.outcomes.values()}
    assert Tier.OPTIMISED in tiers


def test_an_endless_loop_in_compiled_code_stops_at_the_time_limit(program: Path) -> None:
    console = booted(program, ["forever"], CpuKind.RECOMPILER)
    start = time.monotonic()
    with pytest.raises(XenonError, match="time limit"):
        list(console.run(timeout=0.5))
    assert time.monotonic() - start < 30
    assert hand_overs(console) > 0


def test_an_instruction_limit_leaves_everything_to_unicorn(program: Path) -> None:
    console = booted(program, ["forever"], CpuKind.RECOMPILER)
    with pytest.raises(XenonError, match="instruction limit"):
        list(console.run(timeout=60, instructions=300_000))
    assert hand_overs(console) == 0

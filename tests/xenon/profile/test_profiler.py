"""A profile names what a program does most, says where each function is run and why, and its parts agree."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Made

import llama2c
from llama2c.facts import HOT_FUNCTIONS
from xenon.console import Console, CpuKind, MachineSettings
from xenon.errors import XenonError
from xenon.linux.faults import GuestFault
from xenon.linux.program import Program, read_program
from xenon.machine import LimitReached
from xenon.powerpc.mix import Work
from xenon.profile.coverage import Covered, coverage
from xenon.profile.profile import FunctionProfile, Profile
from xenon.profile.profiler import Profiler
from xenon.profile.report import as_json, flame, lines
from xenon.profile.sampler import Place
from xenon.stories.engine import Engine
from xenon.stories.session import Matmul, Session

NEEDS_LLVMLITE = pytest.mark.skipif(
    importlib.util.find_spec("llvmlite") is None,
    reason="the recompiler needs llvmlite: pip install 'xenon-llm[fast]'",
)


@pytest.fixture(scope="module")
def program(build: Callable[..., Path]) -> Path:
    return build("hot", "musl", "-O2")


def profile_of(
    program: Path, arguments: list[str], kind: CpuKind = CpuKind.UNICORN, timeout: float = 60
) -> Profile:
    console = Console(MachineSettings(cpu=kind, measured=True))
    profiler = Profiler(console, console.boot(program, arguments))
    console.compile(["main", "dot", "deep", "touch"])
    profiler.start()
    with contextlib.suppress(GuestFault, LimitReached):
        list(console.run(timeout=timeout))
    return profiler.stop()


def function(found: Profile, name: str) -> FunctionProfile:
    return next(one for one in found.functions if one.name == name)


def check(found: Profile) -> None:
    """What must be true of any profile."""
    assert sum(one.instructions for one in found.functions) == found.instructions
    assert sum(found.works.values()) == sum(found.mnemonics.values()) == found.instructions
    assert sum(one.self_samples for one in found.functions) == found.samples
    assert sum(found.stacks.values()) == found.samples
    for one in found.functions:
        assert one.self_samples <= one.total <= found.samples
        assert 0 <= one.compiled_instructions <= one.instructions
    assert [one.instructions for one in found.blocks] == sorted(
        (one.instructions for one in found.blocks), reverse=True
    )


@pytest.mark.parametrize("kind", [CpuKind.UNICORN, pytest.param(CpuKind.RECOMPILER, marks=NEEDS_LLVMLITE)])
def test_the_hot_function_comes_first_with_its_callers(program: Path, kind: CpuKind) -> None:
    rounds = "4000" if kind is CpuKind.UNICORN else "400000"
    found = profile_of(program, ["pointer", rounds], kind)
    check(found)
    dot, main = function(found, "dot"), function(found, "main")
    assert found.functions[0] == dot
    assert dot.calls == int(rounds)
    assert main.calls == 1
    assert main.total > dot.self_samples > found.samples / 2
    place = Place.UNICORN if kind is CpuKind.UNICORN else Place.COMPILED
    stack = max((one for one in found.stacks if one[1] is place), key=found.stacks.__getitem__)[0]
    assert stack[0].startswith("_start")
    assert stack[-2:] == ("main", "dot")
    assert found.works[Work.FLOAT] > 0
    assert "lfs" in " ".join(found.mnemonics)


@NEEDS_LLVMLITE
def test_tiers_have_their_reasons(program: Path) -> None:
    found = profile_of(program, ["pointer", "3000"], CpuKind.RECOMPILER)
    dot, start, printer = (function(found, name) for name in ("dot", "_start", "printf_core"))
    assert (dot.tier, dot.reason) == ("compiled", "")
    assert (start.tier, start.reason) == ("unicorn", "not hot enough")
    assert printer.tier == "unicorn"
    assert printer.reason.startswith(("vmul", "no rule for"))


def test_recursion_counts_a_function_once_in_its_total(build: Callable[..., Path]) -> None:
    found = profile_of(build("hot", "musl", "-O0"), ["deep", "20000"])
    check(found)
    assert function(found, "deep").calls == 20001


@pytest.mark.parametrize("job", ["fault", "forever"])
def test_a_program_that_does_not_end_well_is_profiled_up_to_there(program: Path, job: str) -> None:
    found = profile_of(program, [job], timeout=0.5)
    check(found)
    assert found.functions[0].name == ("main" if job == "forever" else found.functions[0].name)
    assert found.instructions > 4096


def test_a_stripped_program_is_profiled_by_addresses(build: Callable[..., Path]) -> None:
    whole, stripped = (
        profile_of(build("hot", "musl", "-O2", *how), ["pointer", "300"]) for how in ((), ("-s",))
    )
    check(stripped)
    names = {one.name for one in stripped.functions}
    assert all(name.startswith("sub_") for name in names)
    calls = {one.calls for one in whole.functions if one.name == "dot"}
    assert calls == {300}
    assert 300 in {one.calls for one in stripped.functions}


def test_the_smallest_program_has_a_profile_without_samples(small_elf: bytes, tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(small_elf)
    found = profile_of(tmp_path / "small", [])
    assert found.instructions == 3
    assert [one.calls for one in found.functions] == [1]
    assert [len(one.code) for one in found.blocks] == [3]
    text = "\n".join(lines(found, 5))
    assert "3 counted exactly" in text
    assert "li r3, 7" in text
    assert "no samples" in flame(found) or found.samples
    assert as_json(found)["instructions"] == 3


def test_hardware_threads_are_summed_and_told_apart(make_model: Callable[..., Made]) -> None:
    made = make_model(dim=64, hidden_dim=172, n_layers=2, seq_len=32, vocab_size=4096)
    kept: list[Profiler] = []

    def watch(console: Console, guest: Program) -> None:
        kept.append(Profiler(console, guest))
        kept[0].start()

    session = Session(made.model, made.tokenizer, threads=2, engine=Engine.CPU, cpu=CpuKind.UNICORN)
    session.watch = watch
    list(session.generate("a", temperature=0, steps=12, seed=1))
    found = kept[0].stop()
    check(found)
    first, second = found.threads
    assert first.instructions + second.instructions == found.instructions
    assert first.instructions > second.instructions > 10_000
    assert "thread 1" in "\n".join(lines(found, 1))


def test_a_console_that_is_not_measured_is_refused(program: Path) -> None:
    console = Console(MachineSettings(cpu=CpuKind.UNICORN))
    with pytest.raises(XenonError, match="not measured"):
        Profiler(console, console.boot(program, ["deep", "1"]))


def test_every_function_of_our_guest_would_be_compiled() -> None:
    found = {one.name: one for one in coverage(read_program(llama2c.guest_program()))}
    assert set(HOT_FUNCTIONS) <= found.keys()
    assert [name for name in HOT_FUNCTIONS if not found[name].compiles] == []


@NEEDS_LLVMLITE
@pytest.mark.parametrize("matmul", list(Matmul))
def test_nothing_that_takes_time_in_a_story_is_left_on_unicorn(matmul: Matmul) -> None:
    kept: list[Profiler] = []

    def watch(console: Console, guest: Program) -> None:
        kept.append(Profiler(console, guest))
        kept[0].start()

    session = Session(None, threads=1, matmul=matmul, cpu=CpuKind.RECOMPILER)
    session.watch, session.compile_first = watch, True
    list(session.generate("", temperature=0, steps=150, seed=1))
    found = kept[0].stop()
    in_code = {place: count for place, count in found.places.items() if place is not Place.SYSTEM}
    least = 0.01 * sum(in_code.values())
    left = [
        (one.name, one.tier, one.reason)
        for one in found.functions
        if sum(one.own.get(place, 0) for place in in_code) > max(least, 2) and one.tier != "compiled"
    ]
    assert left == []
    assert found.compiled_instructions > 0.98 * found.instructions


def test_coverage_names_the_instruction_that_is_in_the_way(build: Callable[..., Path]) -> None:
    program = read_program(build("hot", "musl", "-O2"))
    found = {one.name: one for one in coverage(program)}
    assert found["dot"].compiles
    assert found["dot"].instructions > 5
    locked: Covered = next(one for one in found.values() if "lwarx" in {o.mnemonic for o in one.obstacles})
    obstacle = next(one for one in locked.obstacles if one.mnemonic == "lwarx")
    assert obstacle.word & 0xFC0007FE == 0x7C000028
    assert obstacle.address is not None
    assert obstacle.reason == f"no rule for lwarx, at 0x{obstacle.address:x}"


@NEEDS_LLVMLITE
def test_coverage_says_what_the_recompiler_then_does(build: Callable[..., Path]) -> None:
    program = build("hot", "musl", "-O2")
    console = Console(MachineSettings(cpu=CpuKind.RECOMPILER))
    found = coverage(console.boot(program, ["deep", "1"]))
    assert console.recompiler is not None
    for one in found:
        if one.instructions < 60 or not one.compiles:
            assert (console.recompiler.compile(one.address).tier.value == "compiled") is one.compiles, one

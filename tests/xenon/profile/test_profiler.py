"""A profile names what a program does most, says where each function is run and why, and its parts agree."""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from elf_files import CODE_ADDRESS, Label, elf_file
from support import LONG, Made
from systems import RECOMPILER

import llama2c
from llama2c.facts import HOT_FUNCTIONS
from xenon.console import Console, CpuKind, MachineSettings
from xenon.errors import XenonError
from xenon.linux.faults import GuestFault
from xenon.linux.program import Program, parse_program, read_program
from xenon.machine import LimitReached
from xenon.notes import XenonWarning
from xenon.powerpc.mix import InstructionClass
from xenon.profile.coverage import coverage
from xenon.profile.profile import FunctionProfile, Profile
from xenon.profile.profiler import Profiler
from xenon.profile.report import as_json, flame, lines
from xenon.profile.sampler import Activity, Probe
from xenon.recompiler import tier
from xenon.stories.session import Session
from xenon.stories.settings import Engine, Matmul, Sampling, Setup

QUICK_CODE = pytest.mark.usefixtures("quick_code")  # skips without llvmlite


@pytest.fixture(scope="module")
def program(build: Callable[..., Path]) -> Path:
    return build("hot", "musl", "-O2")


def profile_of(
    program: Path,
    arguments: list[str],
    kind: CpuKind = CpuKind.UNICORN,
    timeout: float = 60,
    allowed: frozenset[str] = frozenset(),
) -> Profile:
    console = Console(MachineSettings(cpu=kind, measured=True, allowed=allowed))
    profiler = Profiler(console, console.boot(program, arguments))
    if console.recompiler is not None:
        own = console.recompiler.functions.addresses_of({"main", "dot", "deep", "touch", "select"})
        for address in own:
            console.recompiler.compile(address)
    profiler.start()
    with contextlib.suppress(GuestFault, LimitReached):
        list(console.run(timeout=timeout))
    return profiler.stop()


def function(profile: Profile, name: str) -> FunctionProfile:
    return next(row for row in profile.functions if row.name == name)


def check(profile: Profile) -> None:
    """What must be true of any profile."""
    assert sum(row.instructions for row in profile.functions) == profile.instructions
    assert sum(profile.classes.values()) == sum(profile.mnemonics.values()) == profile.instructions
    assert sum(row.self_samples for row in profile.functions) == profile.samples
    assert sum(profile.stacks.values()) == profile.samples
    for row in profile.functions:
        assert row.self_samples <= row.total <= profile.samples
        assert 0 <= row.compiled_instructions <= row.instructions
    assert [row.instructions for row in profile.blocks] == sorted(
        (row.instructions for row in profile.blocks), reverse=True
    )


@pytest.mark.parametrize("kind", [CpuKind.UNICORN, CpuKind.RECOMPILER])
def test_the_hot_function_comes_first_with_its_callers(
    program: Path, kind: CpuKind, request: pytest.FixtureRequest
) -> None:
    if kind is CpuKind.RECOMPILER:
        request.getfixturevalue("quick_code")
    rounds = "4000" if kind is CpuKind.UNICORN else "400000"
    profile = profile_of(program, ["pointer", rounds], kind)
    check(profile)
    dot, main = function(profile, "dot"), function(profile, "main")
    assert profile.functions[0] == dot
    assert dot.calls == int(rounds)
    assert main.calls == 1
    assert main.total >= dot.self_samples > profile.samples / 2
    activity = Activity.UNICORN if kind is CpuKind.UNICORN else Activity.COMPILED
    stack = max((stack for stack in profile.stacks if stack[1] is activity), key=profile.stacks.__getitem__)[
        0
    ]
    assert stack[0].startswith("_start")
    assert stack[-2:] == ("main", "dot")
    assert profile.classes[InstructionClass.FLOAT] > 0
    assert "lfs" in " ".join(profile.mnemonics)


@QUICK_CODE
def test_tiers_have_their_reasons(program: Path) -> None:
    profile = profile_of(program, ["pointer", "3000"], CpuKind.RECOMPILER)
    dot, start = (function(profile, name) for name in ("dot", "_start"))
    assert dot.tier in ("compiled", "optimised") and dot.reason == ""
    assert (start.tier, start.reason) == ("unicorn", "not hot enough")


@RECOMPILER
def test_a_hot_function_that_waits_to_be_compiled_is_not_called_cold(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tier, "_SHORT_PATIENCE", 60.0)  # the compiler does not begin
    monkeypatch.setattr(tier, "_PATIENCE", 60.0)
    console = Console(MachineSettings(cpu=CpuKind.RECOMPILER, measured=True))
    profiler = Profiler(console, console.boot(program, ["pointer", "300"], hot=("dot",)))
    profiler.start()
    list(console.run(timeout=60))
    profile = profiler.stop()
    dot, start = (function(profile, name) for name in ("dot", "_start"))
    assert (dot.tier, dot.reason) == ("unicorn", "its turn to be compiled had not come")
    assert (start.tier, start.reason) == ("unicorn", "not hot enough")


@QUICK_CODE
def test_an_instruction_of_another_powerpc_is_the_reason_for_unicorn(program: Path) -> None:
    profile = profile_of(program, ["select", "3000"], CpuKind.RECOMPILER, allowed=frozenset({"isel"}))
    row = function(profile, "select")
    assert row.calls == 3000
    assert row.tier == "unicorn"
    assert row.reason.startswith("isel at ") and row.reason.endswith(" is not Xenon's")


def test_recursion_counts_a_function_once_in_its_total(build: Callable[..., Path]) -> None:
    profile = profile_of(build("hot", "musl", "-O2", "-fno-optimize-sibling-calls"), ["deep", "20000"])
    check(profile)
    assert function(profile, "deep").calls == 20001


@pytest.mark.parametrize("job", ["fault", "forever"])
def test_a_program_that_does_not_end_well_is_profiled_up_to_there(program: Path, job: str) -> None:
    profile = profile_of(program, [job], timeout=0.5)
    check(profile)
    assert profile.functions[0].name == ("main" if job == "forever" else profile.functions[0].name)
    assert profile.instructions > 4096


def test_a_stripped_program_is_profiled_by_addresses(build: Callable[..., Path]) -> None:
    whole, stripped = (
        profile_of(build("hot", "musl", "-O2", stripped=stripped), ["pointer", "300"])
        for stripped in (False, True)
    )
    check(stripped)
    names = {row.name for row in stripped.functions}
    assert all(name.startswith("sub_") for name in names)
    calls = {row.calls for row in whole.functions if row.name == "dot"}
    assert calls == {300}
    assert 300 in {row.calls for row in stripped.functions}


def test_the_smallest_program_has_a_profile_without_samples(small_elf: bytes, tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(small_elf)
    profile = profile_of(tmp_path / "small", [])
    assert profile.instructions == 3
    assert [row.calls for row in profile.functions] == [1]
    assert [len(row.code) for row in profile.blocks] == [3]
    text = "\n".join(lines(profile, 5))
    assert "3 counted exactly" in text
    assert "li r3, 7" in text
    assert "no samples" in flame(profile) or profile.samples
    assert as_json(profile)["instructions"] == 3


def test_hardware_threads_are_summed_and_told_apart(make_model: Callable[..., Made]) -> None:
    made = make_model(dim=64, hidden_dim=172, n_layers=2, seq_len=32, vocab_size=4096)
    kept: list[Profiler] = []

    def watch(console: Console, guest: Program) -> None:
        kept.append(Profiler(console, guest))
        kept[0].start()

    session = Session(made.model, made.tokenizer, Setup(Engine.CPU, threads=2, cpu=CpuKind.UNICORN))
    list(session.tell("a", Sampling(temperature=0, steps=12, seed=1), watch=watch))
    profile = kept[0].stop()
    check(profile)
    first, second = profile.threads
    assert first.instructions + second.instructions == profile.instructions
    assert min(first.instructions, second.instructions) > 10_000
    assert "thread 1" in "\n".join(lines(profile, 1))


def test_a_console_that_is_not_measured_is_refused(program: Path) -> None:
    console = Console(MachineSettings(cpu=CpuKind.UNICORN))
    with pytest.raises(XenonError, match="not measured"):
        Profiler(console, console.boot(program, ["deep", "1"]))


def test_every_function_of_our_guest_would_be_compiled() -> None:
    covered = {function.name: function for function in coverage(read_program(llama2c.guest_program()))}
    assert set(HOT_FUNCTIONS) <= covered.keys()
    assert [name for name in HOT_FUNCTIONS if not covered[name].compiles] == []


@pytest.mark.usefixtures("hot_functions_alone")
@pytest.mark.parametrize("matmul", [pytest.param(Matmul.SCALAR, marks=LONG), Matmul.VMX])
def test_nothing_that_takes_time_in_a_story_is_left_on_unicorn(matmul: Matmul) -> None:
    """In none of three profiles: on a busy computer a few samples may meet any function by chance."""
    left = _left_on_unicorn(matmul)
    for _ in range(2):
        if left:
            left &= _left_on_unicorn(matmul)
    assert not left


def _left_on_unicorn(matmul: Matmul) -> set[tuple[str, str, str]]:
    """The functions that a profile of a story has samples of without compiled code: names, tiers, reasons."""
    kept: list[Profiler] = []

    def watch(console: Console, guest: Program) -> None:
        kept.append(Profiler(console, guest))
        kept[0].start()

    session = Session(setup=Setup(threads=1, matmul=matmul, cpu=CpuKind.RECOMPILER))
    sampling = Sampling(temperature=0, steps=100, seed=1)
    list(session.tell("", sampling, compile_first=True, watch=watch))
    profile = kept[0].stop()
    in_code = {place: count for place, count in profile.activities.items() if place is not Activity.SYSTEM}
    least = 0.01 * sum(in_code.values())
    assert profile.compiled_instructions > 0.98 * profile.instructions
    return {
        (row.name, row.tier, row.reason)
        for row in profile.functions
        if sum(row.own.get(place, 0) for place in in_code) > max(least, 2)
        and row.tier not in ("compiled", "optimised")
    }


def test_coverage_names_the_instruction_that_is_in_the_way(build: Callable[..., Path]) -> None:
    program = read_program(build("hot", "musl", "-O2"))
    covered = {function.name: function for function in coverage(program)}
    assert covered["dot"].compiles
    assert covered["dot"].instructions > 5
    obstacles = [obstacle for function in covered.values() for obstacle in function.obstacles]
    obstacle = next(obstacle for obstacle in obstacles if obstacle.mnemonic == "isel")
    assert obstacle.word & 0xFC00003F == 0x7C00001E
    assert obstacle.address is not None
    assert obstacle.reason == f"isel at 0x{obstacle.address:x} is not Xenon's"


def test_coverage_names_an_instruction_without_a_rule() -> None:
    code = struct.pack(">2I", 0x7C64_2C2A, 0x4BFF_FFFC)  # lswx r3,r4,r5; b back
    (function,) = coverage(parse_program("it", elf_file(code, [Label("flags", CODE_ADDRESS, 8)])))
    (obstacle,) = function.obstacles
    assert (obstacle.mnemonic, obstacle.word, obstacle.address) == ("lswx", 0x7C64_2C2A, CODE_ADDRESS)
    assert obstacle.reason == f"no rule for lswx, at 0x{CODE_ADDRESS:x}"


def test_a_program_whose_functions_all_run_into_each_other_is_refused() -> None:
    code = struct.pack(">I", 0x6000_0000) * 2000 + struct.pack(">I", 0x4E80_0020)
    labels = [Label(f"f{number}", CODE_ADDRESS + 4 * number, 4) for number in range(2000)]
    with pytest.raises(XenonError, match="run into each other"):
        coverage(parse_program("it", elf_file(code, labels)))


@QUICK_CODE
def test_coverage_says_what_the_recompiler_then_does(build: Callable[..., Path]) -> None:
    program = build("hot", "musl", "-O2")
    console = Console(MachineSettings(cpu=CpuKind.RECOMPILER))
    covered = coverage(console.boot(program, ["deep", "1"]))
    assert console.recompiler is not None
    for function in covered:
        if function.instructions < 60 or not function.compiles:
            outcome = console.recompiler.compile(function.address)
            assert (outcome.tier.value == "compiled") is function.compiles, function


def test_a_sampler_that_fails_leaves_the_counts(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracebacks: list[object] = []
    monkeypatch.setattr(threading, "excepthook", tracebacks.append)
    monkeypatch.setattr(Probe, "ask", lambda self: 1 // 0)
    with pytest.warns(XenonWarning, match="the sampler has stopped"):
        profile = profile_of(program, ["pointer", "4000"])
    assert profile.instructions > 0
    assert not tracebacks


@RECOMPILER
def test_exits_from_compiled_code_are_counted_where_unicorn_goes_on(program: Path) -> None:
    console = Console(MachineSettings(cpu=CpuKind.RECOMPILER, measured=True))
    profiler = Profiler(console, console.boot(program, ["pointer", "3000"]))
    console.compile(["dot"])
    profiler.start()
    list(console.run(timeout=60))
    profile = profiler.stop()
    calls = function(profile, "dot").calls
    (back,) = [place for place in profile.exits if place.function == "main"][:1]
    assert 0 < back.count <= calls
    text = "\n".join(lines(profile, 10))
    assert f"{sum(place.count for place in profile.exits):,} from compiled code to Unicorn" in text
    assert f"{back.count:>12,}  {back.address:#010x}  main+{back.offset:#x}" in text

"""Hardware threads: forked and joined by the kernel, stopped together, and named when one is at fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from sharing import build_once, build_program, run_folder
from support import WHOLE, Made, sample
from systems import RECOMPILER

import llama2c
import loader
from xenon.console import Bytes, Console, CpuKind, MachineSettings
from xenon.errors import ErrorCode, XenonError
from xenon.linux.faults import GuestFault
from xenon.linux.program import read_program
from xenon.recompiler.cpu_kind import installed

Build = Callable[..., Path]
KINDS = [CpuKind.UNICORN, *([CpuKind.RECOMPILER] if installed() else [])]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    main = Path(__file__).parent / "programs" / "threads.c"
    parts = ("memory", "parallel", "text")
    path = run_folder(tmp_path_factory) / "threads"
    return build_once(path, lambda target: build_program(target, main, parts))


def run(program: Path, how: str, threads: int = 6, timeout: float = 20) -> tuple[int | None, str]:
    console = Console(MachineSettings(threads=threads))
    console.boot(program, [how])
    text = b"".join(output.data for output in console.run(timeout))
    return console.exit_status, text.decode()


@pytest.fixture(autouse=True)
def no_host_thread_is_left() -> object:
    yield
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any("hardware" in thread.name for thread in threading.enumerate()):
        time.sleep(0.01)
    assert not [thread for thread in threading.enumerate() if "hardware" in thread.name]


@pytest.mark.parametrize("threads", [1, 2, 3, 6])
def test_every_thread_runs_its_task_and_is_joined(program: Path, threads: int) -> None:
    expected = "".join(f"{n * n} " for n in range(1, threads)) + "\n"
    assert run(program, "square", threads) == (0, expected)


def test_threads_may_map_memory_at_the_same_time(program: Path) -> None:
    assert run(program, "allocate", 4) == (0, "60 120 180 \n")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("twice", "hardware thread 1 is started twice"),
        ("seventh", "hardware thread 6 cannot be started: the console has 6"),
        ("itself", "hardware thread 0 cannot be started"),
        ("crash", r"write of 4 bytes at 0x1234: null pointer on hardware thread 2 \(PC .*crash"),
    ],
)
def test_a_wrong_use_is_a_fault_that_names_the_thread(program: Path, how: str, message: str) -> None:
    with pytest.raises(GuestFault, match=message) as caught:
        run(program, how)
    assert caught.value.code is ErrorCode.GUEST_FAULT
    assert "PC  0x" in caught.value.report


def test_any_thread_may_end_the_program(program: Path) -> None:
    assert run(program, "leave") == (42, "")


def test_a_program_that_leaves_a_thread_running_ends_all_the_same(program: Path) -> None:
    assert run(program, "abandon") == (0, "")


def test_waiting_for_a_thread_that_never_ends_stops_at_the_time_limit(program: Path) -> None:
    start = time.monotonic()
    with pytest.raises(XenonError, match="time limit") as caught:
        run(program, "wait", timeout=0.3)
    assert caught.value.code is ErrorCode.LIMIT_REACHED
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("threads", [0, 7])
def test_the_console_has_one_to_six_threads(threads: int) -> None:
    with pytest.raises(XenonError, match=f"{threads} hardware threads, expected 1 to 6"):
        Console(MachineSettings(threads=threads))


@pytest.mark.parametrize("processors", [1, 2, 8])
def test_a_program_is_told_how_many_threads_run_at_once(
    build: Build, monkeypatch: pytest.MonkeyPatch, processors: int
) -> None:
    monkeypatch.setattr("xenon.linux.thread_calls.usable_processors", lambda: processors)
    console = Console(MachineSettings(threads=6, cpu=CpuKind.UNICORN))
    console.boot(build("sync", "freestanding"), ["at once"])
    text = b"".join(output.data for output in console.run(20))
    assert int(text, 16) == min(processors, 6)


@RECOMPILER
@pytest.mark.parametrize(("processors", "expected"), [(1, 1), (2, 1), (6, 5), (8, 6)])
def test_a_compiler_at_work_takes_a_processor(
    build: Build, monkeypatch: pytest.MonkeyPatch, processors: int, expected: int
) -> None:
    monkeypatch.setattr("xenon.linux.thread_calls.usable_processors", lambda: processors)
    monkeypatch.setattr("xenon.machine.TierUp.start", lambda tier_up: setattr(tier_up, "_is_compiling", True))
    console = Console(MachineSettings(threads=6, cpu=CpuKind.RECOMPILER))
    console.boot(build("sync", "freestanding"), ["at once"])
    assert int(b"".join(output.data for output in console.run(20)), 16) == expected


@pytest.mark.parametrize(("kernel", "kind"), sample(product(("scalar", "vmx"), KINDS), 2))
def test_logits_are_the_same_bits_for_every_number_of_threads(
    make_model: Callable[..., Made], monkeypatch: pytest.MonkeyPatch, kernel: str, kind: CpuKind
) -> None:
    monkeypatch.setattr(
        "xenon.linux.thread_calls.usable_processors", lambda: 7
    )  # all start, also while one compiles
    made = make_model(dim=128, hidden_dim=320, n_layers=2, n_heads=8, n_kv_heads=4, vocab_size=2000)
    model, tokenizer = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
    found = set()
    regions = {}
    steps = "8" if WHOLE else "4"
    for threads in sample((2, 3), 1, (1, 6)):
        console = Console(MachineSettings(threads=threads, cpu=kind))
        console.disc.add("m", model.image(loader.ByteOrder.BIG))
        console.disc.add("t", tokenizer.image(loader.ByteOrder.BIG))
        console.boot(
            llama2c.guest_program(), ["m", "-z", "t", "-l", "-e", "-s", "1", "-n", steps, "-k", kernel]
        )
        text, running = b"", set()
        for output in console.run(60):
            text += output.data if output.fd == 1 else b""
            running |= {thread.name for thread in threading.enumerate()}
        found.add(text)
        assert {f"hardware thread {number}" for number in range(threads)} <= running
        regions[threads] = [region.purpose for region in console.memory.regions]
    assert len(found) == 1
    assert [purpose for purpose in regions[6] if "of thread" in purpose] == [
        f"stack of thread {thread}" for thread in (5, 4, 3, 2, 1)
    ]


def test_a_model_of_small_matrices_starts_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xenon.linux.thread_calls.usable_processors", lambda: 6)
    console = Console(MachineSettings(threads=6))
    for name, path in (("m", llama2c.bundled_model()), ("t", llama2c.bundled_tokenizer())):
        console.disc.add(name, Bytes(path.read_bytes()))
    console.boot(llama2c.guest_program(), ["m", "-z", "t", "-e", "-n", "4"])
    running = set()
    for _ in console.run(60):
        running |= {thread.name for thread in threading.enumerate()}
    assert "hardware thread 0" in running
    assert "hardware thread 1" not in running


@pytest.mark.parametrize("how", ["freestanding", "freestanding-v1"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_task_is_a_function_pointer_of_the_programs_abi(build: Build, how: str, kind: CpuKind) -> None:
    program = build("descriptors", how)
    assert read_program(program).abi == (1 if how == "freestanding-v1" else 2)
    console = Console(MachineSettings(threads=2, cpu=kind))
    console.boot(program)
    list(console.run(20))
    assert console.exit_status == 42

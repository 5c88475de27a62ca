"""Hardware threads that wait: for each other by futex, for time and for input; the others go on meanwhile."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from xenon.console import Console, CpuKind, LimitReached, MachineSettings
from xenon.linux.faults import GuestFault
from xenon.linux.terminal import RealClock, Settable
from xenon.recompiler.cpu_kind import installed

_PATIENCE = 20  # seconds until a test gives up

KINDS = [CpuKind.UNICORN, *([CpuKind.RECOMPILER] if installed() else [])]


@pytest.fixture(scope="module")
def program(build: Any) -> Path:
    path: Path = build("sync", "freestanding")
    return path


def run(program: Path, how: str, threads: int, kind: CpuKind, timeout: float = _PATIENCE) -> bytes:
    console = Console(MachineSettings(threads=threads, cpu=kind))
    console.boot(program, [how])
    return b"".join(output.data for output in console.run(timeout))


def number(value: int) -> bytes:
    return b"%016x\n" % value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [2, 3, 6])
def test_a_mutex_on_a_futex_lets_each_thread_in_in_its_turn(
    program: Path, threads: int, kind: CpuKind
) -> None:
    assert run(program, "turns", threads, kind) == number(50 * threads)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [2, 6])
def test_a_condition_on_futexes_hands_over_every_value(program: Path, threads: int, kind: CpuKind) -> None:
    expected = sum(n * thread for thread in range(1, threads) for n in range(1, 51))
    assert run(program, "condition", threads, kind) == number(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_threads_are_woken_by_their_bits(program: Path, kind: CpuKind) -> None:
    assert run(program, "bits", 4, kind) == number(0)


@pytest.mark.parametrize("kind", KINDS)
def test_threads_can_be_moved_to_another_futex(program: Path, kind: CpuKind) -> None:
    assert run(program, "requeue", 5, kind) == number(0) + number(4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("how", "threads", "message"),
    [
        ("deadlock", 2, r"all 2 threads wait for ever: .*for the end of hardware thread 1"),
        ("deadlock", 6, r"all 6 threads wait for ever: .*at the lock 0x\w+, .*at the lock"),
        ("left", 3, r"the only thread waits for ever at the lock 0x\w+ \(PC"),
        ("left", 1, r"the only thread waits for ever at the lock 0x\w+ \(PC"),
    ],
)
def test_threads_that_all_wait_for_ever_are_a_fault(
    program: Path, how: str, threads: int, message: str, kind: CpuKind
) -> None:
    with pytest.raises(GuestFault, match=message):
        run(program, how, threads, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_thread_that_waits_for_ever_is_stopped_with_the_machine(program: Path, kind: CpuKind) -> None:
    with pytest.raises(LimitReached):
        run(program, "stuck", 3, kind, timeout=0.3)
    assert not [thread for thread in threading.enumerate() if "hardware" in thread.name]


class HeldClock(RealClock):
    """A clock whose sleepers wake when `wake` is set; `asleep` is set once there is one."""

    def __init__(self) -> None:
        self.asleep, self.wake = threading.Event(), threading.Event()
        self.woken = False

    def wait(self, nanoseconds: int, event: Settable) -> bool:
        self.asleep.set()
        self.woken = self.wake.wait(_PATIENCE)
        return event.is_set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_thread_writes_and_maps_memory_while_another_one_sleeps(program: Path, kind: CpuKind) -> None:
    clock = HeldClock()
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stdin, os.fdopen(writer, "wb", 0) as keyboard:
        console = Console(MachineSettings(threads=2, cpu=kind), stdin, clock)
        console.boot(program, ["sleep"])
        begin = threading.Thread(target=lambda: clock.asleep.wait(_PATIENCE) and keyboard.write(b"\n"))
        begin.start()
        written = b""
        for output in console.run(2 * _PATIENCE):
            written += output.data
            if written == b"." * 100:
                clock.wake.set()  # the sleeper sleeps until all is done
        begin.join()
    assert written == b"." * 100 + b"slept\n"
    assert clock.woken


class Keyboard(io.RawIOBase):
    """An input without a descriptor, whose reader waits until `typed` is set."""

    def __init__(self) -> None:
        self.asked, self.typed = threading.Event(), threading.Event()

    def read(self, size: int = -1, /) -> bytes:
        self.asked.set()
        return b"!" if self.typed.wait(_PATIENCE) else b"?"


@pytest.mark.parametrize("kind", KINDS)
def test_a_thread_writes_and_maps_memory_while_another_one_reads(program: Path, kind: CpuKind) -> None:
    keyboard, clock = Keyboard(), HeldClock()
    clock.wake = keyboard.asked  # the thread that works first sleeps until the other one reads
    console = Console(MachineSettings(threads=2, cpu=kind), keyboard, clock)  # type: ignore[arg-type]
    console.boot(program, ["read"])
    written = b""
    for output in console.run(2 * _PATIENCE):
        written += output.data
        if written == b"." * 100:
            keyboard.typed.set()
    assert written == b"." * 100 + b"!"

"""Words that several hardware threads change: reservations and barriers, on Unicorn and in compiled code."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest
import support
from support import WHOLE
from systems import RECOMPILER

from xenon.console import Console, CpuKind, MachineSettings
from xenon.hardware.unicorn import compare_and_swap as swaps
from xenon.linux.faults import GuestFault
from xenon.recompiler.cpu_kind import installed

_PATIENCE = 60  # seconds until a test gives up
ADDS, LOCKED, ROUNDS = 4000, 1500, 40

FUNCTIONS = (
    *("add_words", "add_doublewords", "add_locked", "send", "receive", "add_to_the_end", "store_and_look"),
    *("use_reservations", "replace"),
)

# On Unicorn; as ever, where functions are compiled when they are hot; compiled before the program starts.
WAYS = ["unicorn", *(["moving up", "compiled"] if installed() else [])]


@pytest.fixture(scope="module")
def program(build: Any) -> Path:
    path: Path = build("atomics", "freestanding", f"-DMESSAGES={2000 if WHOLE else 500}")
    return path


def run(program: Path, how: str, threads: int, way: str, patience: float = _PATIENCE) -> list[int]:
    kind = CpuKind.UNICORN if way == "unicorn" else CpuKind.RECOMPILER
    console = Console(MachineSettings(threads=threads, cpu=kind))
    console.boot(program, [how])
    if way == "compiled":
        console.compile(FUNCTIONS)
        assert console.recompiler is not None
        assert not [outcome for outcome in console.recompiler.outcomes.values() if outcome.reason]
    text = b"".join(output.data for output in console.run(patience))
    return [int(line, 16) for line in text.split()]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("threads", [1, 2, 6])
def test_no_addition_is_lost(program: Path, threads: int, way: str) -> None:
    assert run(program, "words", threads, way) == [ADDS * threads]
    total = ADDS * sum(range(1, threads + 1)) << 32 | ADDS * threads
    assert run(program, "doublewords", threads, way) == [total]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("threads", [2, 6])
def test_a_lock_lets_one_thread_in_at_a_time(program: Path, threads: int, way: str) -> None:
    assert run(program, "lock", threads, way) == [LOCKED * threads]


@RECOMPILER
@pytest.mark.parametrize("attempt", range(3))
def test_threads_may_be_compiled_one_after_the_other(program: Path, attempt: int) -> None:
    assert run(program, "again", 3, "moving up") == [ROUNDS * ADDS * 3, ROUNDS * LOCKED * 3], attempt


@pytest.mark.skipif(not support.WHOLE, reason="minutes: the whole suite")
@pytest.mark.parametrize("attempt", range(3))
@pytest.mark.parametrize("way", WAYS)
def test_a_million_additions_and_locks_on_six_threads(program: Path, way: str, attempt: int) -> None:
    told = run(program, "again", 6, way, patience=1200)
    assert told == [ROUNDS * ADDS * 6, ROUNDS * LOCKED * 6], attempt


@pytest.mark.parametrize("way", WAYS)
def test_what_was_stored_before_a_release_is_seen_after_an_acquire(program: Path, way: str) -> None:
    assert run(program, "message", 2, way) == [0]


@pytest.mark.parametrize("way", WAYS)
def test_a_conditional_store_overwrites_no_plain_store(program: Path, way: str) -> None:
    assert run(program, "stores", 2, way) == [0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_reservation_is_for_one_store_to_its_word(program: Path, threads: int, way: str) -> None:
    assert run(program, "reservations", threads, way) == [0x0120000 << 8 | 6 << 4 | 7]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("read-only", "write of 4 bytes at 0x[0-9a-f]+: the page is read only .*replace"),
        ("null", "read of 4 bytes at 0x8: null pointer .*replace"),
    ],
)
def test_a_conditional_store_needs_the_right_to_write(
    program: Path, how: str, message: str, threads: int, way: str
) -> None:
    with pytest.raises(GuestFault, match=message):
        run(program, how, threads, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("threads", [1, 2])
def test_code_may_be_changed_by_a_conditional_store(program: Path, threads: int, way: str) -> None:
    assert run(program, "code", threads, way) == [0x12, 0x22, 0x32]


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize(
    "swap", [swaps.compare_and_swap, swaps._under_a_lock], ids=["machine code", "Python"]
)
def test_compare_and_swap_stores_where_it_finds_what_it_expects(swap: Any, size: int) -> None:
    memory = (ctypes.c_uint64 * 2)(0xFFFF_FFFF_8000_0001, 5)
    place = ctypes.addressof(memory)
    before = memory[0] & ((1 << 8 * size) - 1)
    assert swap(size)(place, before ^ 1, 7) == 0
    assert memory[0] == 0xFFFF_FFFF_8000_0001
    assert swap(size)(place, before, 7) == 1
    assert memory[0] == (0xFFFF_FFFF_0000_0007 if size == 4 else 7)
    assert memory[1] == 5

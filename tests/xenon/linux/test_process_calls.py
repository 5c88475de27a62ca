"""System calls about the program: time, chance, signals, limits, its end; and the table of them all."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import pytest

from xenon.linux.call_names import CALL_NUMBERS, call_name
from xenon.linux.process import Exit, Refusal
from xenon.linux.syscalls import CALL_TABLE, UNKNOWN_TO_OLD_KERNELS, serve
from xenon.linux.uapi import Error

GUIDE = Path(__file__).parents[3] / "docs" / "console.md"


def test_the_guide_lists_exactly_the_calls_that_are_served() -> None:
    section = GUIDE.read_text().split("## System calls")[1].split("\n## ")[0]
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \|", section, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert listed == {call_name(number) for number in CALL_TABLE} | set(UNKNOWN_TO_OLD_KERNELS)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("clone", "use xenon_run_thread_task"), ("fork", "one program"), ("socket", "docs/console.md lists")],
)
def test_the_hint_of_a_call_that_is_not_served_says_what_to_do(call: Any, name: str, hint: str) -> None:
    with pytest.raises(Refusal, match=rf"\({name}\) .* is not served") as caught:
        serve(call.process, CALL_NUMBERS[name], [0] * 6)
    assert hint in caught.value.hint


def test_numbers_are_those_of_ppc64() -> None:
    known = {
        "exit": 1,
        "write": 4,
        "brk": 45,
        "mmap": 90,
        "newfstatat": 291,
        "exit_group": 234,
        "clock_gettime": 246,
    }
    assert {name: CALL_NUMBERS[name] for name in known} == known


def test_a_call_that_is_not_served_is_refused_with_name_and_arguments(call: Any) -> None:
    with pytest.raises(Refusal, match=r"system call 326 \(socket\) with \(0x2, 0x1, 0x0, 0x0, 0x0, 0x0\)"):
        serve(call.process, 326, (2, 1, 0, 0, 0, 0))
    with pytest.raises(Refusal, match="unknown to Linux"):
        serve(call.process, 1 << 63, (0,) * 6)


def test_what_old_kernels_do_not_know_is_enosys(call: Any) -> None:
    for name in UNKNOWN_TO_OLD_KERNELS:
        assert call(name) == -Error.ENOSYS


@pytest.mark.parametrize("name", ["exit", "exit_group"])
def test_the_end_keeps_the_low_byte_of_the_status(call: Any, name: str) -> None:
    with pytest.raises(Exit) as caught:
        call(name, 0x1234)
    assert caught.value.status == 0x34


def test_clocks_tell_the_time_given(call: Any) -> None:
    started = call.clock.now
    call.clock.now += 2_000_000_001
    for clock, expected in ((0, started + 2_000_000_001), (1, started + 2_000_000_001), (2, 2_000_000_001)):
        assert call("clock_gettime", clock, call.scratch) == 0
        assert struct.unpack(">qq", call.peek(call.scratch, 16)) == divmod(expected, 10**9)
    assert call("clock_gettime", 99, call.scratch) == -Error.EINVAL
    assert call("gettimeofday", call.scratch, 0) == 0
    assert struct.unpack(">qq", call.peek(call.scratch, 16)) == (1_700_000_002, 123_456)
    assert call("time", call.scratch) == 1_700_000_002
    assert call("times", call.scratch) == 200


def test_sleeping_takes_the_time_asked_for(call: Any) -> None:
    call.process.space.write(call.scratch, struct.pack(">qq", 1, 500))
    assert call("nanosleep", call.scratch, 0) == 0
    call.process.space.write(call.scratch, struct.pack(">qq", 1_700_000_005, 0))
    assert call("clock_nanosleep", 0, 1, call.scratch, 0) == 0
    assert call.clock.slept == [1_000_000_500, 3_876_542_711]
    assert call.clock.now == 1_700_000_005 * 10**9
    for bad in ((-1, 0), (0, -1), (0, 10**9)):
        call.process.space.write(call.scratch, struct.pack(">qq", *bad))
        assert call("nanosleep", call.scratch, 0) == -Error.EINVAL


def test_a_lock_that_nobody_else_can_open_is_a_fault_or_a_timeout(call: Any) -> None:
    call.process.space.write(call.scratch, struct.pack(">qqI", 2, 0, 5))
    assert call("futex", call.scratch + 16, 0, 4, 0) == -Error.EAGAIN
    assert call("futex", call.scratch + 16, 1, 1, 0) == 0
    assert call("futex", call.scratch + 16, 128, 5, call.scratch) == -Error.ETIMEDOUT
    assert call.clock.slept == [2 * 10**9]
    with pytest.raises(Refusal, match="waits for ever"):
        call("futex", call.scratch + 16, 0, 5, 0)


def test_signals_end_the_program_unless_it_ignores_them(call: Any) -> None:
    assert call("kill", 1000, 0) == 0
    assert call("kill", 1, 15) == -Error.EPERM
    assert call("tgkill", 1000, 1000, 17) == 0
    with pytest.raises(Refusal, match=r"aborted \(SIGABRT\)") as caught:
        call("tgkill", 1000, 1000, 6)
    assert caught.value.signal == 6
    call.process.space.write(call.scratch, struct.pack(">Q24x", 1))
    assert call("rt_sigaction", 15, call.scratch, call.scratch + 64, 8) == 0
    assert call.peek(call.scratch + 64, 32) == bytes(32)
    assert call("kill", 1000, 15) == 0
    call.process.space.write(call.scratch, struct.pack(">Q24x", 0x10000))
    assert call("rt_sigaction", 15, call.scratch, 0, 8) == 0
    with pytest.raises(Refusal, match="handlers of floating-point exceptions only"):
        call("kill", 1000, 15)
    assert call("rt_sigaction", 9, call.scratch, 0, 8) == -Error.EINVAL
    assert call("rt_sigaction", 65, 0, 0, 8) == -Error.EINVAL
    assert call("kill", 1000, 99) == -Error.EINVAL


def test_the_signal_mask_is_kept(call: Any) -> None:
    call.process.space.write(call.scratch, struct.pack(">Q", 0b110))
    assert call("rt_sigprocmask", 0, call.scratch, 0, 8) == 0
    call.process.space.write(call.scratch, struct.pack(">Q", 0b010))
    assert call("rt_sigprocmask", 1, call.scratch, call.scratch + 8, 8) == 0
    assert call("rt_sigprocmask", 2, 0, call.scratch + 16, 8) == 0
    assert struct.unpack(">QQ", call.peek(call.scratch + 8, 16)) == (0b110, 0b100)


def test_limits_and_identity_are_stated(call: Any) -> None:
    assert call("getpid") == call("gettid") == call("set_tid_address", 0) == 1000
    assert call("getuid") == 1000
    assert call("prlimit64", 0, 3, 0, call.scratch) == 0
    assert struct.unpack(">QQ", call.peek(call.scratch, 16)) == (8 << 20, 8 << 20)
    assert call("getrlimit", 9, call.scratch) == 0
    assert call.peek(call.scratch, 8) == b"\xff" * 8
    assert call("uname", call.scratch) == 0
    assert call.peek(call.scratch + 260, 6) == b"ppc64\0"
    assert call("sched_getaffinity", 0, 128, call.scratch) == 8
    assert call.peek(call.scratch, 8) == b"\0\0\0\0\0\0\0\1"
    assert call("sysinfo", call.scratch) == 0
    assert struct.unpack(">Q", call.peek(call.scratch + 32, 8)) == (512 << 20,)
    assert call("prctl", 15) == 0
    assert call("prctl", 22) == -Error.EINVAL


def test_the_name_of_a_mapping_is_printable_as_on_linux(call: Any) -> None:
    place = call("mmap", 0, 4096, 3, 0x22, -1, 0)

    def name(text: bytes) -> int:
        return int(call("prctl", 0x53564D41, 0, place, 4096, call.text(text)))

    assert name(b"key cache") == 0
    assert call.process.space.memory.region_at(place).purpose == "key cache"
    for text in (b"\x1b[2J", b"two\nlines", b"caf\xc3\xa9"):
        assert name(text) == -Error.EINVAL
    assert call.process.space.memory.region_at(place).purpose == "key cache"


def test_random_bytes_differ(call: Any) -> None:
    assert call("getrandom", call.scratch, 64, 0) == 64
    assert call("getrandom", call.scratch + 64, 64, 0) == 64
    assert call.peek(call.scratch, 64) != call.peek(call.scratch + 64, 64)

"""System calls on the terminal, files and paths; errors come back as negative errno."""

from __future__ import annotations

import io
import os
import struct
import threading
from typing import Any

import pytest

from xenon.linux.terminal import Cancelled, Terminal
from xenon.linux.uapi import Error

BAD = 0x123456  # an address that nothing is mapped at
HERE = -100  # AT_FDCWD
NUMBERS = b"/data/numbers.bin"


def _open(call: Any, path: bytes = NUMBERS, flags: int = 0) -> int:
    return int(call("openat", HERE, call.text(path, 8192), flags, 0))


def test_writing_reaches_the_terminal_with_its_descriptor(call: Any) -> None:
    assert call("write", 1, call.text(b"hello"), 5) == 5
    assert call("write", 2, call.text(b"oops"), 4) == 4
    assert call("write", 1, call.scratch, 0) == 0
    assert call.written == [(1, b"hello"), (2, b"oops")]


def test_a_long_write_is_whole_and_comes_in_pieces(call: Any) -> None:
    size = 300_000
    address = call("mmap", 0, size, 3, 0x22, -1, 0)
    call.process.space.write(address, b"x" * size)
    assert call("write", 1, address, size) == size
    call.process.space.write(
        call.scratch, struct.pack(">8Q", address, 10, address, size, address, 5, address, 5)
    )
    assert call("writev", 2, call.scratch, 4) == size + 20
    for stream, total in ((1, size), (2, size + 20)):
        pieces = [data for number, data in call.written if number == stream]
        assert b"".join(pieces) == b"x" * total
        assert max(map(len, pieces)) <= 65_536
    assert call("write", 1, address, size + (16 << 20)) == -Error.EFAULT


def test_vectors_are_gathered_and_scattered(call: Any) -> None:
    call.process.space.write(call.scratch, b"hello world")
    vector = struct.pack(">6Q", call.scratch, 6, call.scratch, 0, call.scratch + 6, 5)
    call.process.space.write(call.scratch + 512, vector)
    assert call("writev", 1, call.scratch + 512, 3) == 11
    assert call.written == [(1, b"hello world")]
    descriptor = _open(call)
    assert call("readv", descriptor, call.scratch + 512, 3) == 11
    assert call.peek(call.scratch, 11) == bytes(range(11))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("write", (1, BAD, 5)), ("writev", (1, BAD, 1)), ("read", (3, BAD, 5)),
        ("pread64", (3, BAD, 5, 0)), ("readv", (3, BAD, 1)), ("fstat", (3, BAD)),
        ("openat", (HERE, BAD, 0, 0)), ("open", (BAD, 0, 0)), ("stat", (BAD, BAD)),
        ("newfstatat", (HERE, BAD, BAD, 0)), ("newfstatat", (3, BAD, BAD, 0x1000)),
        ("access", (BAD, 0)), ("readlink", (BAD, BAD, 1)), ("getcwd", (BAD, 100)), ("chdir", (BAD,)),
        ("_llseek", (3, 0, 0, BAD, 0)), ("poll", (BAD, 1, 0)), ("ppoll", (BAD, 1, 0, 0)),
        ("uname", (BAD,)), ("_newselect", (1, BAD, 0, 0, 0)), ("clock_gettime", (0, BAD)),
        ("clock_getres", (0, BAD)), ("gettimeofday", (BAD, 0)), ("time", (BAD,)),
        ("nanosleep", (BAD, 0)), ("getrandom", (BAD, 8, 0)), ("clock_nanosleep", (0, 0, BAD, 0)),
        ("rt_sigaction", (2, BAD, 0, 8)), ("rt_sigaction", (2, 0, BAD, 8)),
        ("rt_sigprocmask", (0, BAD, 0, 8)), ("rt_sigprocmask", (0, 0, BAD, 8)),
        ("sigaltstack", (BAD, 0)), ("sigaltstack", (0, BAD)), ("sysinfo", (BAD,)),
        ("getrlimit", (3, BAD)), ("prlimit64", (0, 3, 0, BAD)), ("getrusage", (0, BAD)),
        ("times", (BAD,)), ("sched_getaffinity", (0, 8, BAD)), ("futex", (BAD, 0, 0, 0)),
        ("mremap", (BAD & -4096, 4096, 8192, 1)), ("write", (1, 0x1DFFFFFE, 5)),
        ("write", (1, 1 << 63, 1 << 63)),
    ],
)  # fmt: skip
def test_every_bad_pointer_is_efault(call: Any, name: str, arguments: tuple[int, ...]) -> None:
    assert _open(call) == 3
    assert call(name, *arguments) == -Error.EFAULT
    assert call.written == []


def test_a_buffer_that_may_only_be_read_cannot_be_read_into(call: Any) -> None:
    descriptor = _open(call)
    assert call("read", descriptor, 0x10000, 4) == -Error.EFAULT
    assert call.peek(0x10000, 4) == bytes.fromhex("38600007")


def test_a_file_is_read_in_order_and_at_any_place(call: Any) -> None:
    descriptor = _open(call)
    assert call("read", descriptor, call.scratch, 4) == 4
    assert call("read", descriptor, call.scratch + 4, 4) == 4
    assert call.peek(call.scratch, 8) == bytes(range(8))
    assert call("pread64", descriptor, call.scratch, 2, 10) == 2
    assert call.peek(call.scratch, 2) == b"\x0a\x0b"
    assert call("lseek", descriptor, -3, 2) == 10237
    assert call("read", descriptor, call.scratch, 1 << 62) == 3
    assert call("read", descriptor, call.scratch, 10) == 0
    assert call("lseek", descriptor, 1 << 40, 0) == 1 << 40
    assert call("read", descriptor, call.scratch, 10) == 0
    assert call("lseek", descriptor, -1, 0) == -Error.EINVAL
    assert call("lseek", descriptor, 0, 9) == -Error.EINVAL
    assert call("_llseek", descriptor, 0, 5, call.scratch, 0) == 0
    assert call.peek(call.scratch, 8) == struct.pack(">q", 5)
    assert call("lseek", 1, 0, 0) == -Error.ESPIPE


def test_nothing_on_the_disc_can_be_written(call: Any) -> None:
    assert _open(call, flags=0o1) == -Error.EROFS
    assert _open(call, flags=0o2) == -Error.EROFS
    assert _open(call, flags=0o1101) == -Error.EROFS
    assert _open(call, b"/new", 0o101) == -Error.EACCES
    assert _open(call, b"/etc/passwd", 0o2) == -Error.EACCES
    assert _open(call, b"/etc/passwd") == -Error.ENOENT
    assert _open(call, b"") == -Error.ENOENT
    assert _open(call, NUMBERS + b"/x") == -Error.ENOTDIR
    assert _open(call, b"x" * 5000) == -Error.ENAMETOOLONG
    assert call("unlink", call.text(NUMBERS)) == -Error.EROFS
    descriptor = _open(call)
    assert call("write", descriptor, call.scratch, 4) == -Error.EBADF
    assert call("pwrite64", descriptor, call.scratch, 4, 0) == -Error.EBADF


def test_descriptors_are_given_lowest_first_and_run_out(call: Any) -> None:
    assert [_open(call) for _ in range(3)] == [3, 4, 5]
    assert call("close", 4) == 0
    assert call("close", 4) == -Error.EBADF
    assert _open(call) == 4
    assert call("dup", 1) == 6
    assert call("write", 6, call.text(b"x"), 1) == 1
    assert call("dup2", 3, 100) == 100
    assert call("dup3", 3, 3, 0) == -Error.EINVAL
    assert call("dup2", 3, 1 << 20) == -Error.EBADF
    assert call("fcntl", 3, 0, 50) == 50
    assert call("fcntl", 1, 3, 0) == 2
    assert call("fcntl", 3, 99, 0) == -Error.EINVAL
    while (made := _open(call)) >= 0:
        pass
    assert made == -Error.EMFILE
    assert call("read", -1, call.scratch, 1) == -Error.EBADF


def test_stat_is_laid_out_as_on_ppc64(call: Any) -> None:
    assert call("stat", call.text(NUMBERS), call.scratch + 256) == 0
    found = call.peek(call.scratch + 256, 144)
    assert struct.unpack_from(">I", found, 24)[0] == 0o100444
    assert struct.unpack_from(">Q", found, 48)[0] == 10240
    assert call("newfstatat", _open(call), call.text(b""), call.scratch + 512, 0x1000) == 0
    assert call.peek(call.scratch + 512, 144) == found
    assert call("fstat", 1, call.scratch) == 0
    assert struct.unpack(">I", call.peek(call.scratch + 24, 4))[0] == 0o010600


def test_folders_are_listed_and_entered(call: Any) -> None:
    descriptor = _open(call, b"/data", 0o40000)
    size = call("getdents64", descriptor, call.scratch, 4096)
    listing, names = call.peek(call.scratch, size), []
    while listing:
        length = struct.unpack_from(">H", listing, 16)[0]
        names.append((listing[19:length].split(b"\0")[0], listing[18]))
        listing = listing[length:]
    assert names == [(b".", 4), (b"..", 4), (b"numbers.bin", 8), (b"words.txt", 8)]
    assert call("getdents64", descriptor, call.scratch, 4096) == 0
    assert call("openat", descriptor, call.text(b"words.txt"), 0, 0) == 4
    assert call("chdir", call.text(b"data")) == 0
    assert call("getcwd", call.scratch, 100) == 6
    assert call("getcwd", call.scratch, 5) == -Error.ERANGE
    assert _open(call, b"words.txt") == 5
    assert _open(call, b"../../data/./words.txt") == 6
    assert call("chdir", call.text(b"words.txt")) == -Error.ENOTDIR
    assert call("openat", 5, call.text(b"words.txt"), 0, 0) == -Error.ENOTDIR
    assert _open(call, b"words.txt", 0o40000) == -Error.ENOTDIR
    assert call("read", descriptor, call.scratch, 10) == -Error.EISDIR
    assert call("access", call.text(b"words.txt"), 4) == 0
    assert call("access", call.text(b"words.txt"), 2) == -Error.EROFS
    assert call("access", call.text(b"words.txt"), 1) == -Error.EACCES
    assert call("readlink", call.text(b"/proc/self/exe"), call.scratch, 100) == -Error.ENOENT
    assert call("readlink", call.text(b"words.txt"), call.scratch, 100) == -Error.EINVAL


def test_only_what_the_user_sees_as_a_terminal_is_one(call: Any) -> None:
    assert call("ioctl", 1, 0x40087468, call.scratch) == -Error.ENOTTY
    call.process.terminal.windows = {1: (25, 80)}
    assert call("ioctl", 1, 0x40087468, call.scratch) == 0
    assert call.peek(call.scratch, 4) == struct.pack(">HH", 25, 80)
    assert call("ioctl", 1, 0x402C7413, call.scratch) == 0
    assert call("ioctl", 1, 0x1234, call.scratch) == -Error.ENOTTY
    assert call("ioctl", 0, 0x40087468, call.scratch) == -Error.ENOTTY


def test_input_is_read_from_a_stream_a_pipe_or_not_at_all(call: Any) -> None:
    assert call("read", 0, call.scratch, 10) == 0
    call.process.terminal = Terminal(io.BytesIO(b"from bytes"), call.process.terminal.write, {})
    assert call("read", 0, call.scratch, 4) == 4
    assert call.peek(call.scratch, 4) == b"from"
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        call.process.terminal = Terminal(stream, call.process.terminal.write, {})
        os.write(writer, b"piped")
        assert call("read", 0, call.scratch, 100) == 5
        os.close(writer)
        assert call("read", 0, call.scratch, 100) == 0
    assert call("read", 1, call.scratch, 1) == -Error.EBADF
    assert call("write", 0, call.scratch, 1) == -Error.EBADF


def test_polling_sees_input_output_and_nonsense(call: Any) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        call.process.terminal = Terminal(stream, call.process.terminal.write, {})
        asked = struct.pack(">ihhihhihh", 0, 1, 0, -1, 1, 0, 77, 1, 0)
        call.process.space.write(call.scratch, asked)
        assert call("poll", call.scratch, 1, 0) == 0
        assert call("poll", call.scratch, 3, -1) == 1
        assert struct.unpack(">ihhihhihh", call.peek(call.scratch, 24))[2::3] == (0, 0, 0x20)
        os.write(writer, b"x")
        assert call("poll", call.scratch, 1, -1) == 1
        call.process.space.write(call.scratch, struct.pack(">QQ", 1, 0b110))
        assert call("_newselect", 64, call.scratch, call.scratch + 8, 0, 0) == 3
        assert call("_newselect", 2000, call.scratch, 0, 0, 0) == -Error.EINVAL
        os.close(writer)
    call.process.space.write(call.scratch, struct.pack(">qq", 3, 500_000_000))
    assert call("ppoll", 0, 0, call.scratch, 0) == 0
    assert call.clock.slept == [3_500_000_000]


def test_waiting_for_input_ends_when_the_machine_stops(call: Any) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        call.process.terminal = Terminal(stream, call.process.terminal.write, {})
        threading.Timer(0.05, call.process.stopping.set).start()
        with pytest.raises(Cancelled):
            call("read", 0, call.scratch, 1)
    os.close(writer)

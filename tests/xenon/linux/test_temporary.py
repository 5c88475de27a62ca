"""Files below /tmp: made, changed and taken away by the program, in the console's own memory."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import run_command
from hypothesis import given, settings
from hypothesis import strategies as st

from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import MIB, PAGE_BYTES
from xenon.hardware.pages import Pages
from xenon.linux.address_space import AddressSpace
from xenon.linux.files import Bytes
from xenon.linux.layout import LINUX_MAP
from xenon.linux.temporary import TemporaryContent
from xenon.linux.uapi import Error, GuestError

READ, WRITE, BOTH, CREATE, EXCLUSIVE, TRUNCATE, APPEND = 0, 0o1, 0o2, 0o100, 0o200, 0o1000, 0o2000


def opened(call: Any, path: bytes = b"/tmp/x", flags: int = BOTH | CREATE) -> int:
    return int(call("open", call.text(path), flags, 0o600))


def put(call: Any, descriptor: int, data: bytes) -> int:
    call.process.space.write(call.scratch + 4096, data)
    return int(call("write", descriptor, call.scratch + 4096, len(data)))


def contents(call: Any, path: bytes = b"/tmp/x") -> bytes:
    descriptor = opened(call, path, READ)
    count = call("read", descriptor, call.scratch + 4096, 8192)
    assert call("close", descriptor) == 0
    return bytes(call.peek(call.scratch + 4096, count))


def listed(call: Any, path: bytes) -> list[bytes]:
    descriptor = opened(call, path, READ)
    names = []
    while count := call("getdents64", descriptor, call.scratch + 4096, 64):
        data = call.peek(call.scratch + 4096, count)
        while data:
            length = struct.unpack_from(">H", data, 16)[0]
            names.append(data[19:length].split(b"\0")[0])
            data = data[length:]
    call("close", descriptor)
    return names


def test_what_is_written_is_read_back_and_found_by_its_name(call: Any) -> None:
    descriptor = opened(call)
    assert put(call, descriptor, b"hello world") == 11
    assert call("lseek", descriptor, 6, 0) == 6
    assert put(call, descriptor, b"W") == 1
    assert call("pwrite64", descriptor, call.text(b"!"), 1, 20) == 1
    assert contents(call) == b"hello World" + bytes(9) + b"!"
    assert call("stat", call.text(b"/tmp/x"), call.scratch + 256) == 0
    mode, size = (
        struct.unpack_from(">I", call.peek(call.scratch + 256, 144), 24)[0],
        call.peek(call.scratch + 256 + 48, 8),
    )
    assert mode == 0o100600
    assert int.from_bytes(size, "big") == 21
    assert listed(call, b"/tmp") == [b".", b"..", b"x"]
    assert call("access", call.text(b"/tmp/x"), 2) == call("access", call.text(b"/tmp"), 2) == 0
    assert call("fsync", descriptor) == call("chmod", call.text(b"/tmp/x"), 0o644) == 0


def test_how_a_file_is_opened_is_kept(call: Any) -> None:
    first = opened(call)
    assert put(call, first, b"12345") == 5
    assert opened(call, flags=WRITE | CREATE | EXCLUSIVE) == -Error.EEXIST
    reader, writer = opened(call, flags=READ), opened(call, flags=WRITE)
    assert put(call, reader, b"x") == -Error.EBADF
    assert (
        call("read", writer, call.scratch, 1) == call("pread64", writer, call.scratch, 1, 0) == -Error.EBADF
    )
    end = opened(call, flags=WRITE | APPEND)
    assert call("fcntl", end, 3, 0) == WRITE | APPEND
    assert put(call, end, b"6") == 1
    assert put(call, first, b"7") == 1  # where it stands: over the 6
    assert contents(call) == b"123457"
    opened(call, flags=WRITE | TRUNCATE)
    assert contents(call) == b""
    assert opened(call, b"/tmp/none", READ) == opened(call, b"/tmp/none/x") == -Error.ENOENT
    assert opened(call, b"/tmp/x/y") == -Error.ENOTDIR
    assert opened(call, b"/tmp/" + b"n" * 256) == -Error.ENAMETOOLONG
    assert opened(call, b"/tmp/x", READ | 0o40000) == -Error.ENOTDIR


def test_names_are_taken_away_and_changed(call: Any) -> None:
    for name in (b"a", b"b"):
        assert put(call, opened(call, b"/tmp/" + name), name) == 1
    old, new = call.text(b"/tmp/a"), call.text(b"/tmp/b", 64)
    assert call("rename", old, new) == 0
    assert contents(call, b"/tmp/b") == b"a"
    assert call("rename", call.text(b"/tmp/a"), new) == call("unlink", call.text(b"/tmp/a")) == -Error.ENOENT
    folder = call.text(b"/tmp/f")
    assert call("mkdir", folder, 0o700) == 0
    assert call("mkdir", folder, 0o700) == -Error.EEXIST
    assert call("rename", call.text(b"/tmp/b"), call.text(b"/tmp/f/b", 64)) == 0
    assert listed(call, b"/tmp/f/") == [b".", b"..", b"b"]
    assert call("unlink", call.text(b"/tmp/f")) == -Error.EISDIR
    assert call("rmdir", call.text(b"/tmp/f")) == -Error.ENOTEMPTY
    assert call("rmdir", call.text(b"/tmp/f/b")) == -Error.ENOTDIR
    assert call("rename", call.text(b"/tmp/f"), call.text(b"/tmp/f/g", 64)) == -Error.EINVAL
    assert call("unlinkat", -100, call.text(b"/tmp/f/b"), 0) == call("rmdir", call.text(b"/tmp/f")) == 0
    assert listed(call, b"/tmp") == [b".", b".."]


def test_a_file_without_a_name_lives_until_it_is_closed(call: Any) -> None:
    used = call.process.space.memory.used
    descriptor = opened(call)
    assert put(call, descriptor, b"still here") == 10
    assert call.process.space.memory.used == used + (64 << 10)
    other = call("dup", descriptor)
    assert call("unlink", call.text(b"/tmp/x")) == call("close", descriptor) == 0
    assert call("lseek", other, 0, 0) == 0
    assert call("read", other, call.scratch, 20) == 10
    assert call.process.space.memory.used > used
    assert call("dup2", 1, other) == other
    assert call.process.space.memory.used == used


def test_the_rest_of_the_disc_stays_as_it_is(call: Any) -> None:
    call.process.disc.add("/tmp/granted", Bytes(b"read me"))
    granted, word = call.text(b"/tmp/granted"), call.text(b"/data/words.txt", 64)
    assert contents(call, b"/tmp/granted") == b"read me"
    assert opened(call, b"/tmp/granted", WRITE) == -Error.EROFS
    for name, *arguments in (
        ("unlink", granted), ("unlink", word), ("rename", granted, word), ("truncate", granted, 0),
        ("mkdir", call.text(b"/data/new", 128), 0), ("rmdir", call.text(b"/tmp", 192)), ("chmod", word, 0),
        ("creat", call.text(b"/new", 256), 0), ("symlink", granted, call.text(b"/tmp/link", 320)),
    ):  # fmt: skip
        assert call(name, *arguments) == -Error.EROFS, name
    opened(call)
    assert call("rename", call.text(b"/tmp/x", 384), call.text(b"/tmp/granted", 448)) == -Error.EROFS


def test_memory_that_is_full_is_enospc_and_comes_back(call: Any) -> None:
    descriptor, used = opened(call), call.process.space.memory.used
    room = call.process.space.memory.available
    assert call("ftruncate", descriptor, 1 << 40) == -Error.ENOSPC
    assert call("ftruncate", descriptor, -1) == -Error.EINVAL
    assert call("fallocate", descriptor, 0, 0, 100 * MIB) == 0
    assert call.process.space.memory.used >= used + 100 * MIB
    assert call("lseek", descriptor, room, 0) == room
    assert put(call, descriptor, b"x") == -Error.ENOSPC
    assert call("ftruncate", descriptor, 0) == 0
    assert call.process.space.memory.used == used


def test_names_are_bounded(call: Any) -> None:
    for number in range(1024):
        assert call("close", opened(call, b"/tmp/%d" % number)) == 0
    assert opened(call, b"/tmp/more") == call("mkdir", call.text(b"/tmp/f"), 0) == -Error.ENOSPC
    assert call("unlink", call.text(b"/tmp/7")) == 0
    assert opened(call, b"/tmp/more") > 0


def test_the_program_cannot_touch_or_release_the_memory_of_a_file(call: Any) -> None:
    descriptor = opened(call)
    assert put(call, descriptor, b"mine") == 4
    (region,) = (region for region in call.process.space.memory.regions if region.purpose == "/tmp/x")
    assert call("write", 1, region.address, 4) == -Error.EFAULT
    assert call("mprotect", region.address, PAGE_BYTES, 3) == -Error.ENOMEM
    assert call("munmap", region.address, region.size) == 0  # nothing of the program's was there
    fixed = (region.address, PAGE_BYTES, 3, 0x32, -1, 0)
    assert call("mmap", *fixed) == -Error.ENOMEM
    assert contents(call) == b"mine"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "truncate"]), st.integers(0, 300_000), st.integers(0, 200_000)),
        max_size=12,
    )
)
def test_contents_are_those_of_a_plain_buffer(changes: list[tuple[str, int, int]]) -> None:
    space = AddressSpace(Pages(UnifiedMemory(64 * MIB, LINUX_MAP)))
    content, expected = TemporaryContent(space, b"/tmp/x"), bytearray()
    for number, (how, offset, size) in enumerate(changes):
        if how == "truncate":
            content.truncate(offset)
            del expected[offset:]
            expected += bytes(offset - len(expected))
            continue
        data = bytes([number + 1]) * size
        assert content.write(offset, memoryview(data)) == size
        if size:
            expected += bytes(max(0, offset - len(expected)))
            expected[offset : offset + size] = data
    assert content.size == len(expected)
    whole = bytearray(content.size)
    content.read_into(0, memoryview(whole))
    assert whole == expected


def test_a_write_that_fits_in_part_says_how_much() -> None:
    space = AddressSpace(Pages(UnifiedMemory(34 * MIB, LINUX_MAP)))
    content = TemporaryContent(space, b"/tmp/x")
    data = memoryview(bytes(range(256)) * (16 << 10))
    written = content.write(0, data)
    assert 0 < written < len(data)
    assert content.size == written
    with pytest.raises(GuestError, match="ENOSPC"):
        content.write(written, data)


@pytest.mark.parametrize("how", ["musl", "glibc"])
def test_the_c_library_does_as_under_qemu(build: Callable[..., Path], how: str) -> None:
    if shutil.which("qemu-ppc64") is None:
        pytest.skip("no qemu-ppc64: Debian has it in qemu-user")
    program = build("temporary", how)
    theirs = subprocess.run(["qemu-ppc64", str(program)], capture_output=True, timeout=30, check=True)
    ours = run_command("run", program)
    assert (ours.stdout, ours.stderr, ours.returncode) == (theirs.stdout, theirs.stderr, 0)

"""Fixtures of the console's tests: programs built from C, and a process without a CPU."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from xenon.hardware.cpu import Protection
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES
from xenon.hardware.pages import Pages
from xenon.linux.address_space import AddressSpace
from xenon.linux.call_names import CALL_NUMBERS
from xenon.linux.files import Bytes, Disc
from xenon.linux.layout import LINUX_MAP
from xenon.linux.loading import load
from xenon.linux.process import Process
from xenon.linux.program import parse_program
from xenon.linux.syscalls import serve
from xenon.linux.tasks import Tasks
from xenon.linux.terminal import Terminal
from xenon.linux.uapi import GuestError
from xenon.linux.waiting import WaitQueues

SOURCES = Path(__file__).parent / "programs"
GNU = "powerpc64-linux-gnu-gcc"
ZIG = [sys.executable, "-m", "ziglang", "cc", "-mcpu=970", "-O2", "-static"]
BUILDS = {
    "musl": [*ZIG, "-target", "powerpc64-linux-musl"],
    "freestanding": [*ZIG, "-target", "powerpc64-freestanding-none", "-nostdlib"],
    "glibc": [GNU, "-O2", "-static"],
    "freestanding-v1": [
        GNU, "-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector",
        "-fno-tree-loop-distribute-patterns",
    ],
}  # fmt: skip

Build = Callable[..., Path]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """build(source, how, *options): a program of tests/xenon/programs, built in one of the ways above."""
    folder = tmp_path_factory.mktemp("programs")

    def run(source: str, how: str, *options: str) -> Path:
        path = folder / "-".join([source, how, *options]).replace("/", "_")
        if not path.exists():
            if how in ("glibc", "freestanding-v1") and shutil.which(GNU) is None:
                pytest.skip(f"no {GNU}: Debian has it in gcc-powerpc64-linux-gnu")
            libraries = ["-lm"] if how in ("musl", "glibc") else []
            command = [*BUILDS[how], *options, str(SOURCES / f"{source}.c"), "-o", str(path), *libraries]
            subprocess.run(command, check=True, capture_output=True)
        return path

    return run


@pytest.fixture(scope="session")
def misdeeds(build: Build) -> Path:
    return build("misdeeds", "freestanding")


@dataclass
class StoppedClock:
    """A clock that moves only while somebody sleeps."""

    now: int = 1_700_000_000_123_456_789
    slept: list[int] = field(default_factory=list)

    def realtime(self) -> int:
        return self.now

    def monotonic(self) -> int:
        return self.now

    def wait(self, nanoseconds: int, event: threading.Event) -> bool:
        if event.is_set():
            return True
        self.slept.append(nanoseconds)
        self.now += nanoseconds
        return False


@dataclass
class Caller:
    """Makes system calls as a program would; it may use 16 KiB from `scratch`, `written` is what it wrote."""

    process: Process
    clock: StoppedClock
    written: list[tuple[int, bytes]]
    scratch: int

    def __call__(self, name: str, *arguments: int) -> int:
        """The result, or the errno as a negative number."""
        words = [value & 0xFFFF_FFFF_FFFF_FFFF for value in arguments]
        try:
            return serve(self.process, CALL_NUMBERS[name], words + [0] * (6 - len(words)))
        except GuestError as error:
            return -int(error.error)

    def text(self, text: bytes, offset: int = 0) -> int:
        """The address of a zero-terminated string in the scratch page."""
        self.process.space.write(self.scratch + offset, text + b"\0")
        return self.scratch + offset

    def peek(self, address: int, size: int) -> bytes:
        return self.process.space.memory.read(address, size)


@pytest.fixture
def disc() -> Disc:
    disc = Disc()
    disc.add("/data/numbers.bin", Bytes(bytes(range(256)) * 40))
    disc.add("/data/words.txt", Bytes(b"one\ntwo\n"))
    disc.add("/empty", Bytes(b""))
    return disc


@pytest.fixture
def call(disc: Disc, small_elf: bytes) -> Caller:
    return make_caller(Pages(UnifiedMemory(memory_map=LINUX_MAP)), disc, small_elf)


def make_caller(pages: Pages, disc: Disc, small_elf: bytes) -> Caller:
    """A process without a CPU that has these pages."""
    space = AddressSpace(pages)
    clock, written = StoppedClock(), []
    terminal = Terminal(None, lambda stream, data: written.append((stream, data)), {})
    loaded = load(parse_program("small", small_elf), space, [b"small"], {}, bytes(16))
    scratch = space.allocate(4 * PAGE_BYTES, "scratch", Protection.READ | Protection.WRITE)
    stopping = threading.Event()
    waits = WaitQueues(clock, stopping)
    tasks = Tasks(1, waits, lambda thread, task: None)
    process = Process(space, disc, terminal, clock, loaded, tasks, waits, stopping)
    return Caller(process, clock, written, scratch.address)


@dataclass(frozen=True)
class Part:
    """A program header: kind 1 is to be loaded; flags 1 execute, 2 write, 4 read."""

    address: int
    data: bytes = b""
    size: int | None = None
    flags: int = 5
    kind: int = 1


def write_elf(
    parts: Sequence[Part],
    entry: int,
    kind: int = 2,
    flags: int = 2,
    machine: int = 21,
    ident: bytes = b"\x7fELF\2\2\1",
) -> bytes:
    """An ELF64 file with these program headers and no sections; its own headers are in no segment."""
    offset = 64 + 56 * len(parts)
    table, body = b"", b""
    for part in parts:
        size = len(part.data) if part.size is None else part.size
        place = (part.address, part.address, len(part.data), size, 16)
        table += struct.pack(">IIQQQQQQ", part.kind, part.flags, offset + len(body), *place)
        body += part.data
    numbers = (kind, machine, 1, entry, 64, 0, flags, 64, 56, len(parts), 0, 0, 0)
    return struct.pack(">16sHHIQQQIHHHHHH", ident, *numbers) + table + body


@pytest.fixture(scope="session")
def small_elf() -> bytes:
    """A program of one system call: exit_group(7)."""
    code = struct.pack(">3I", 0x38600007, 0x380000EA, 0x44000002)  # li r3,7; li r0,234; sc
    return write_elf([Part(0x10000, code)], 0x10000)


@pytest.fixture(scope="session")
def make_elf() -> Callable[..., bytes]:
    """write_elf, for tests, from program headers made by `part`."""
    return write_elf


@pytest.fixture(scope="session")
def part() -> type[Part]:
    """A program header for make_elf."""
    return Part

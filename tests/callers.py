"""A process without a CPU, which a test calls as a program calls Linux."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from xenon.hardware.cpu import Protection
from xenon.hardware.memory_map import PAGE_BYTES
from xenon.hardware.pages import Pages
from xenon.linux.address_space import AddressSpace
from xenon.linux.call_names import CALL_NUMBERS
from xenon.linux.files import Disc
from xenon.linux.loading import load
from xenon.linux.process import Process
from xenon.linux.program import parse_program
from xenon.linux.syscalls import serve
from xenon.linux.tasks import Tasks
from xenon.linux.terminal import Settable, Terminal
from xenon.linux.uapi import GuestError
from xenon.linux.waiting import WaitQueues


@dataclass
class StoppedClock:
    """A clock that moves only while somebody sleeps."""

    now: int = 1_700_000_000_123_456_789
    slept: list[int] = field(default_factory=list)

    def realtime(self) -> int:
        return self.now

    def monotonic(self) -> int:
        return self.now

    def wait(self, nanoseconds: int, event: Settable) -> bool:
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

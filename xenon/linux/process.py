"""The program as the kernel sees it: its memory, its open files and the calls' common state."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xenon.hardware.memory import Region
from xenon.linux.address_space import AddressSpace
from xenon.linux.files import Disc, OpenDevice, OpenDirectory, OpenFile, normalise
from xenon.linux.loading import Loaded
from xenon.linux.terminal import STDERR, STDIN, STDOUT, Clock, Terminal
from xenon.linux.uapi import (
    AT_FDCWD,
    PATH_MAX,
    SIGALTSTACK,
    SIGALTSTACK_DISABLED,
    Error,
    GuestError,
    signed,
)

if TYPE_CHECKING:
    from xenon.linux.threads import HardwareThreads

MOST_DESCRIPTORS = 256
PROCESS_ID = 1000


class Exit(Exception):
    """The program ended with this status, 0 to 255."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class TaskEnd(Exception):
    """The task of a hardware thread has returned; the program goes on."""


class Refusal(Exception):
    """A system call asks for something that the kernel cannot do in any way; the program is at fault.

    `exit_code` other than None is what the command ends with in place of the code for faults.
    """

    def __init__(self, message: str, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class TerminalEnd:
    """An open descriptor of the terminal: STDIN, STDOUT or STDERR."""

    stream: int


Description = TerminalEnd | OpenFile | OpenDirectory | OpenDevice


@dataclass(slots=True)
class Process:
    """One running program. System calls are functions of it."""

    space: AddressSpace
    disc: Disc
    terminal: Terminal
    clock: Clock
    loaded: Loaded
    cpu_count: int = 1
    cancelled: threading.Event = field(default_factory=threading.Event)
    threads: HardwareThreads | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)  # one system call at a time
    entropy: Callable[[int], bytes] = os.urandom
    folder: bytes = b"/"
    heap: Region | None = None
    heap_bytes: int = 0
    descriptors: dict[int, Description] = field(init=False)
    signal_actions: dict[int, bytes] = field(default_factory=dict)
    signal_mask: int = 0
    signal_stack: bytes = field(default=SIGALTSTACK.pack(0, SIGALTSTACK_DISABLED, 0))
    started: int = field(init=False)

    def __post_init__(self) -> None:
        self.descriptors = {number: TerminalEnd(number) for number in (STDIN, STDOUT, STDERR)}
        self.started = self.clock.monotonic()

    def description(self, descriptor: int) -> Description:
        """What a descriptor stands for. Raises GuestError(EBADF)."""
        found = self.descriptors.get(signed(descriptor, 32))
        if found is None:
            raise GuestError(Error.EBADF)
        return found

    def file(self, descriptor: int) -> OpenFile:
        """The open file of a descriptor. Raises GuestError: EBADF, EISDIR, ESPIPE for the terminal and
        devices."""
        found = self.description(descriptor)
        if isinstance(found, TerminalEnd | OpenDevice):
            raise GuestError(Error.ESPIPE)
        if isinstance(found, OpenDirectory):
            raise GuestError(Error.EISDIR)
        return found

    def new_descriptor(self, description: Description, lowest: int = 0) -> int:
        """The lowest free descriptor from `lowest`, now standing for this. Raises GuestError(EMFILE)."""
        for number in range(lowest, MOST_DESCRIPTORS):
            if number not in self.descriptors:
                self.descriptors[number] = description
                return number
        raise GuestError(Error.EMFILE)

    def path(self, address: int, folder: int = AT_FDCWD) -> bytes:
        """The absolute path of a string in memory. Raises GuestError: EFAULT, ENOENT, ENAMETOOLONG,
        ENOTDIR, EBADF."""
        path = self.space.read_string(address, PATH_MAX)
        if not path:
            raise GuestError(Error.ENOENT)
        start = self.folder
        if not path.startswith(b"/") and signed(folder, 32) != AT_FDCWD:
            found = self.description(folder)
            if not isinstance(found, OpenDirectory):
                raise GuestError(Error.ENOTDIR)
            start = found.path
        return normalise(path, start)

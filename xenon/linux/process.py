"""The program as the kernel sees it: its memory, its open files and the calls' common state."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from xenon.hardware.memory import Region
from xenon.linux.address_space import AddressSpace
from xenon.linux.descriptors import Descriptors
from xenon.linux.files import Disc, OpenDirectory, normalise
from xenon.linux.loading import Loaded
from xenon.linux.tasks import Tasks
from xenon.linux.terminal import Clock, Terminal
from xenon.linux.uapi import (
    AT_FDCWD,
    PATH_MAX,
    SIGACTION_BYTES,
    SIGALTSTACK,
    SIGALTSTACK_DISABLED,
    Error,
    GuestError,
)
from xenon.linux.waiting import WaitQueues

PROCESS_ID = 1000


class Exit(Exception):
    """The program ended with this status, 0 to 255."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Refusal(Exception):
    """A system call asks for something that the kernel cannot do in any way; the program is at fault.

    `signal` is the number of the signal by which the program ends itself, if it does.
    """

    def __init__(self, message: str, hint: str = "", signal: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.signal = signal


@dataclass(slots=True)
class Process:
    """One running program. System calls are functions of it, and several threads call them at once.

    `space` and `descriptors` have locks of their own, `lock` guards the other fields that change. Nothing is
    locked while a call waits.
    """

    space: AddressSpace
    disc: Disc
    terminal: Terminal
    clock: Clock
    loaded: Loaded
    tasks: Tasks
    waits: WaitQueues
    stopping: threading.Event
    """Set when the machine is being stopped: calls that wait give up."""
    descriptors: Descriptors = field(default_factory=Descriptors)
    entropy: Callable[[int], bytes] = os.urandom
    lock: threading.Lock = field(default_factory=threading.Lock)
    folder: bytes = b"/"
    heap: Region | None = None
    heap_bytes: int = 0
    signal_actions: dict[int, bytes] = field(default_factory=dict)
    signal_mask: int = 0
    float_traps: int = 0
    """PR_FP_EXC_* of prctl: 0 where no enabled floating-point exception traps, up to 3."""
    has_run_handler: bool = False
    signal_stack: bytes = field(default=SIGALTSTACK.pack(0, SIGALTSTACK_DISABLED, 0))
    started: int = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock.monotonic()

    def handler_of(self, signal: int) -> int:
        """What the program has for a signal: SIGNAL_DEFAULT, SIGNAL_IGNORE, or the address of a handler."""
        action = self.signal_actions.get(signal, bytes(SIGACTION_BYTES))
        return int.from_bytes(action[:8], "big")

    def path(self, address: int, folder: int = AT_FDCWD) -> bytes:
        """The absolute path of a string in memory. Raises GuestError: EFAULT, ENOENT, ENAMETOOLONG,
        ENOTDIR, EBADF."""
        path = self.space.read_string(address, PATH_MAX)
        if not path:
            raise GuestError(Error.ENOENT)
        start = self.folder
        if not path.startswith(b"/") and folder != AT_FDCWD:
            description = self.descriptors.description(folder)
            if not isinstance(description, OpenDirectory):
                raise GuestError(Error.ENOTDIR)
            start = description.path
        return normalise(path, start)

"""Watchpoints: places in memory whose change, or whose use, ends a run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from xenon.hardware.cpu import Access, Protection, Trap
from xenon.hardware.memory_map import PAGE_BYTES, physical
from xenon.hardware.pages import Pages


class Watched(Enum):
    """What ends a run: the words of gdb's stop replies."""

    WRITE = "watch"
    READ = "rwatch"
    ACCESS = "awatch"


@dataclass(frozen=True, slots=True)
class Watchpoint:
    """`size` bytes from an address on."""

    kind: Watched
    address: int
    size: int

    def is_hit(self, trap: Trap) -> bool:
        """Whether an access touches it in the way that is watched. A write is judged by what it changes."""
        if self.kind is Watched.WRITE or (trap.access is Access.WRITE and self.kind is Watched.READ):
            return False
        return trap.address < self.address + self.size and self.address < trap.address + max(trap.size, 1)


class Watchpoints:
    """The watchpoints of a machine. The pages that hold them are shown without the right to what is watched,
    so that each access comes back: compiled code looks at the rights of a page before each access anyway.
    """

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._values: dict[Watchpoint, bytes] = {}

    def add(self, watchpoint: Watchpoint) -> bool:
        """False where there is nothing to watch: no memory, or code."""
        start = physical(watchpoint.address)
        if not self._pages.allows(start, watchpoint.size, Protection.READ):
            return False
        if self._pages.may_be_executed(start, watchpoint.size):
            return False
        self._values[watchpoint] = self._read(watchpoint)
        self.arm()
        return True

    def remove(self, watchpoint: Watchpoint) -> None:
        self._values.pop(watchpoint, None)
        self.arm()

    def clear(self) -> None:
        self._values.clear()
        self.arm()

    def arm(self) -> None:
        """Have accesses come back."""
        hidden: dict[int, Protection] = {}
        for watchpoint in self._values:
            taken = (
                Protection.WRITE if watchpoint.kind is Watched.WRITE else Protection.READ | Protection.WRITE
            )
            first, last = (physical(watchpoint.address) + offset for offset in (0, watchpoint.size - 1))
            for page in range(first // PAGE_BYTES, last // PAGE_BYTES + 1):
                hidden[page * PAGE_BYTES] = hidden.get(page * PAGE_BYTES, Protection.NONE) | taken
        self._pages.watch(hidden)

    def disarm(self) -> None:
        """Let accesses pass."""
        self._pages.watch({})

    def stands_in_the_way(self, trap: Trap) -> bool:
        """Whether an access that came back is one that the program may make."""
        if trap.access not in (Access.READ, Access.WRITE) or not self._pages.is_watched(
            physical(trap.address)
        ):
            return False
        wanted = Protection.WRITE if trap.access is Access.WRITE else Protection.READ
        return self._pages.allows(physical(trap.address), max(trap.size, 1), wanted)

    def used_by(self, trap: Trap) -> Watchpoint | None:
        """The watchpoint that an access uses, if any."""
        return next((watchpoint for watchpoint in self._values if watchpoint.is_hit(trap)), None)

    def changed(self) -> Watchpoint | None:
        """A watchpoint whose bytes are not what they were at the last look, if any."""
        first = None
        for watchpoint, before in self._values.items():
            now = self._read(watchpoint)
            if now != before:
                self._values[watchpoint] = now
                if watchpoint.kind is not Watched.READ:
                    first = first or watchpoint
        return first

    def _read(self, watchpoint: Watchpoint) -> bytes:
        return self._pages.memory.read(physical(watchpoint.address), watchpoint.size)

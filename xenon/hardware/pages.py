"""The rights of RAM's pages: the machine's one table, and what follows when code changes.

CPUs and compiled code are listeners, which show pages to guest code. No listener ever shows the same page as
writable to one and executable to another: a page that the program may write and execute is in one of three
stages, and the first access that a stage does not allow moves it to the next.

    DATA   everyone may write, nobody executes         a jump there        -> CODE
    CODE   everyone may execute, nobody writes         a CPU's store       -> OWNED by this CPU
    OWNED  one CPU may write and execute, at one of    another's store     -> OWNED by that one
           the page's addresses; others only read      another's jump      -> CODE

Unicorn notices what a CPU stores over its own translations at the same address; whatever else was made from
a page is dropped when the page leaves CODE.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Protocol

from xenon.errors import XenonError
from xenon.hardware.cpu import Protection
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES, align_down, physical

_MAPPED = 8
_WRITE_AND_EXECUTE = Protection.WRITE | Protection.EXECUTE
_MAPPED_PAGES = re.compile(rb"[^\0]+")
_PIECES = re.compile(rb"([^\0])\1*", re.DOTALL)
_EXECUTABLE_PAGES = re.compile(
    b"[%s]+" % b"".join(b"\\x%02x" % (_MAPPED | rights) for rights in range(8) if rights & Protection.EXECUTE)
)
_NOT_EXECUTABLE = b"\0" + bytes(_MAPPED | rights for rights in range(8) if not rights & Protection.EXECUTE)
_ALLOWING = {
    wanted: bytes(_MAPPED | rights for rights in range(8) if rights & wanted == wanted) for wanted in range(8)
}


class Stage(IntEnum):
    """How a page is shown; PLAIN with the program's own rights, since these are not WRITE and EXECUTE."""

    PLAIN = 0
    DATA = 1
    CODE = 2
    OWNED = 3


_EXECUTABLE = _ALLOWING[Protection.EXECUTE]
_STAGES_OF_CODE = bytes([Stage.PLAIN, Stage.CODE])


class PageListener(Protocol):
    """What shows pages to guest code. Addresses are physical, sizes are whole pages."""

    def be_pausable(self) -> None:
        """From now on another thread may call the methods below while guest code runs."""

    def map(self, address: int, size: int, shown: Protection) -> None:
        """Show pages that were not shown."""

    def unmap(self, address: int, size: int) -> None:
        """Show these pages no more, and drop what was made from their code."""

    def protect(self, address: int, size: int, shown: Protection) -> None:
        """Show pages with other rights, and drop what was made from their code."""

    def forget_code(self, address: int, size: int) -> None:
        """Drop what was made from the code of these pages."""


class PageOwner(PageListener, Protocol):
    """A CPU that notices its own stores into code."""

    def own(self, address: int, shown: Protection) -> None:
        """Show the page of this address, which may be in a physical view, with `shown` there and for reading
        at its other addresses."""


class Pages:
    """What the program may do with each page of RAM. Methods may be called from any thread, but those that
    tell listeners not from within a CPU's run: listeners wait until CPUs rest.

    Raises XenonError for what leaves RAM, for parts of pages, for pages that are mapped twice, and for
    rights of pages that are not mapped.
    """

    def __init__(self, memory: UnifiedMemory) -> None:
        self.memory = memory
        self._rights = bytearray(RAM_BYTES // PAGE_BYTES)  # 0: not mapped, else _MAPPED | Protection
        self._stages = bytearray(RAM_BYTES // PAGE_BYTES)
        self._piece_count = 0
        self._listeners: list[PageListener] = []
        self._lock = threading.RLock()
        self.changes = 0
        """How often rights have changed."""
        self.has_stale_code = False
        """Whether `drop_stale_code` has something to do. Until it is done, a device should do nothing that
        the program could see after its writes."""
        self._watched: dict[int, Protection] = {}  # page: what is taken from how it is shown
        self._stale: dict[int, int] = {}  # page of code: how often devices have written to it
        self._stale_lock = threading.Lock()  # held for moments only, also within a CPU's run

    def listen(self, listener: PageListener, before: bool = False) -> None:
        """Tell `listener` of every change, in the order in which listeners came, with `before` ahead of all
        that are there. Nothing may be mapped yet."""
        if self._rights.count(0) != len(self._rights):
            raise XenonError("pages are mapped already", "make all CPUs before memory is mapped")
        self._listeners.insert(0 if before else len(self._listeners), listener)

    def map(self, address: int, size: int, protection: Protection) -> None:
        """Let the program use these pages, at their physical address and in the physical views."""
        first, end = self._range(address, size)
        with self._lock:
            if any(self._rights[first:end]):
                raise XenonError(f"0x{address:x}: {size} bytes from here are mapped in part")
            for listener in self._listeners:
                listener.map(address, size, _shown_first(protection))
            self._piece_count += self.pieces_added(address, size, protection)
            self._set(first, end, protection)
            self._hide_watched(first, end)

    def unmap(self, address: int, size: int) -> None:
        """Hide what is mapped of these pages."""
        first, end = self._range(address, size)
        with self._lock:
            for stretch in _stretches(_MAPPED_PAGES, self._rights, first, end):
                for listener in self._listeners:
                    listener.unmap(*stretch)
            self._piece_count += self.pieces_added(address, size, None)
            self._rights[first:end] = self._stages[first:end] = bytes(end - first)
            self.changes += 1

    def protect(self, address: int, size: int, protection: Protection) -> None:
        """Change what the program may do with pages that are mapped."""
        first, end = self._range(address, size)
        with self._lock:
            if not all(self._rights[first:end]):
                raise XenonError(f"0x{address:x}: not all of {size} bytes from here are mapped")
            for listener in self._listeners:
                listener.protect(address, size, _shown_first(protection))
            self._piece_count += self.pieces_added(address, size, protection)
            self._set(first, end, protection)
            self._hide_watched(first, end)

    def watch(self, pages: Mapping[int, Protection]) -> None:
        """Show these pages, by address, without some of the program's rights: a CPU comes back with a
        BAD_ADDRESS at an access of that kind, where the program has the right to it. Others are shown as they
        are. What a CPU executes is not watched, nor are the stores that the engine makes in functions of its
        own."""
        with self._lock:
            before, self._watched = (
                self._watched,
                {address // PAGE_BYTES: hidden for address, hidden in pages.items()},
            )
            for page in before.keys() | self._watched.keys():
                if before.get(page) != self._watched.get(page) and self._may_be_watched(page):
                    self._show(page)

    def is_watched(self, address: int) -> bool:
        """Whether the page of a physical address is shown with less than the program's rights to it."""
        return bool(self._watched) and address // PAGE_BYTES in self._watched

    def pieces_added(self, address: int, size: int, protection: Protection | None) -> int:
        """How many more pieces, stretches of pages with the same rights, RAM has when these pages get these
        rights, or none; negative for fewer. Engines take time for each piece when the map changes."""
        first, end = self._range(address, size)
        with self._lock:
            before, changed, behind = (
                bytes(self._rights[start:stop])
                for start, stop in ((max(first - 1, 0), first), (first, end), (end, end + 1))
            )
        new = bytes([0 if protection is None else _MAPPED | protection]) * (end - first)
        counts = [len(_PIECES.findall(before + middle + behind)) for middle in (changed, new)]
        return counts[1] - counts[0]

    @property
    def pieces(self) -> int:
        """Stretches of pages with the same rights."""
        return self._piece_count

    def protection_at(self, address: int) -> Protection | None:
        """What the program may do with the page of a physical address; None where nothing is mapped."""
        rights = self._rights[address // PAGE_BYTES] if 0 <= address < RAM_BYTES else 0
        return Protection(rights & 7) if rights else None

    def allows(self, address: int, size: int, wanted: Protection = Protection.NONE) -> bool:
        """Whether the program has the rights `wanted` to each of `size` bytes, at least one, from a physical
        address. For Protection.NONE: whether all are mapped."""
        if size <= 0 or not 0 <= address <= RAM_BYTES - size:
            return False
        first, last = address // PAGE_BYTES, (address + size - 1) // PAGE_BYTES
        if first == last:
            return self._rights[first] in _ALLOWING[wanted]
        return not self._rights[first : last + 1].strip(_ALLOWING[wanted])

    def written(self, address: int, size: int) -> None:
        """Something other than a CPU has written to these bytes of RAM: call this after the write."""
        if size <= 0 or (0 <= address <= RAM_BYTES - size and not self.may_be_executed(address, size)):
            return
        start = align_down(address, PAGE_BYTES)
        first, end = self._range(start, address + size - start + -(address + size) % PAGE_BYTES)
        for stretch in _stretches(_EXECUTABLE_PAGES, self._rights, first, end):
            with self._lock:
                for listener in self._listeners:
                    listener.forget_code(*stretch)

    def may_be_executed(self, address: int, size: int) -> bool:
        """Whether the program has the right to execute any of these bytes of RAM, at least one."""
        first, last = address // PAGE_BYTES, (address + size - 1) // PAGE_BYTES
        return bool(self._rights[first : last + 1].strip(_NOT_EXECUTABLE))

    def written_by_device(self, address: int, size: int) -> None:
        """A device has written to these bytes of RAM, at least one, perhaps from within a CPU's run: what
        was made from their code is stale."""
        if self.may_be_executed(address, size):
            first, end = address // PAGE_BYTES, (address + size - 1) // PAGE_BYTES + 1
            with self._stale_lock:
                for page in range(first, end):
                    if self._rights[page] & Protection.EXECUTE and self._stages[page] != Stage.DATA:
                        self._stale[page] = self._stale.get(page, 0) + 1
                self.has_stale_code = bool(self._stale)

    def drop_stale_code(self) -> None:
        """Drop what was made from the code that devices have written over."""
        with self._lock:
            with self._stale_lock:
                stale = self._stale.copy()
            for page in stale:
                self.written(page * PAGE_BYTES, PAGE_BYTES)
            with self._stale_lock:
                for page, writes in stale.items():
                    if self._stale[page] == writes:  # else it was written to again meanwhile
                        del self._stale[page]
                self.has_stale_code = bool(self._stale)

    def be_pausable(self) -> None:
        """From now on another thread than the CPUs' may change pages while guest code runs."""
        with self._lock:
            for listener in self._listeners:
                listener.be_pausable()

    def holds_code(self, address: int) -> bool:
        """Whether the page of a physical address may be executed and nobody can write to it unnoticed."""
        if not 0 <= address < RAM_BYTES:
            return False
        page = address // PAGE_BYTES
        return self._stages[page] in _STAGES_OF_CODE and self._rights[page] in _EXECUTABLE

    def settle(self, address: int) -> bool:
        """Move the page of a physical address to CODE if the program may write and execute it; whether
        holds_code is true then."""
        page = address // PAGE_BYTES
        with self._lock:
            if 0 <= address < RAM_BYTES and self._stages[page] in (Stage.DATA, Stage.OWNED):
                self._stages[page] = Stage.CODE
                for listener in self._listeners:
                    listener.protect(
                        page * PAGE_BYTES, PAGE_BYTES, self._protection(page) & ~Protection.WRITE
                    )
            return self.holds_code(address)

    def settle_all(self, address: int, size: int) -> None:
        """Move whole pages from DATA to CODE in one step, which is much faster than at a jump to each. Pages
        that are not all DATA with the same rights stay."""
        first, end = self._range(address, size)
        with self._lock:
            rights = self._rights[first:end]
            if self._stages[first:end].strip(bytes([Stage.DATA])) or rights.strip(rights[:1]):
                return
            self._stages[first:end] = bytes([Stage.CODE]) * (end - first)
            for listener in self._listeners:
                listener.protect(address, size, self._protection(first) & ~Protection.WRITE)

    def guest_jumped(self, address: int) -> None:
        """A CPU was not shown the page of this address, possibly in a view, as executable."""
        self.settle(physical(address))

    def guest_stored(self, cpu: PageOwner, address: int) -> None:
        """A CPU was not shown the page of this address, possibly in a view, as writable."""
        page = physical(address) // PAGE_BYTES
        with self._lock:
            if self._stages[page] not in (Stage.CODE, Stage.OWNED):
                return  # another CPU's access, or a system call, has changed it meanwhile
            self._stages[page] = Stage.OWNED
            for listener in self._listeners:
                if listener is cpu:
                    cpu.own(align_down(address, PAGE_BYTES), self._protection(page))
                else:
                    listener.protect(page * PAGE_BYTES, PAGE_BYTES, self._protection(page) & Protection.READ)

    def _may_be_watched(self, page: int) -> bool:
        return bool(self._rights[page]) and not self._rights[page] & Protection.EXECUTE

    def _hide_watched(self, first: int, end: int) -> None:
        for page in self._watched:
            if first <= page < end and self._may_be_watched(page):
                self._show(page)

    def _show(self, page: int) -> None:
        hidden = self._watched.get(page, Protection.NONE)
        for listener in self._listeners:
            listener.protect(page * PAGE_BYTES, PAGE_BYTES, self._protection(page) & ~hidden)

    def _protection(self, page: int) -> Protection:
        return Protection(self._rights[page] & 7)

    def _set(self, first: int, end: int, protection: Protection) -> None:
        stage = Stage.DATA if protection & _WRITE_AND_EXECUTE == _WRITE_AND_EXECUTE else Stage.PLAIN
        self._rights[first:end] = bytes([_MAPPED | protection]) * (end - first)
        self._stages[first:end] = bytes([stage]) * (end - first)
        self.changes += 1

    @staticmethod
    def _range(address: int, size: int) -> tuple[int, int]:
        """First page and end of whole pages in RAM. Raises XenonError."""
        if size <= 0 or not 0 <= address <= RAM_BYTES - size:
            raise XenonError(f"0x{address:x}: {size} bytes from here are outside RAM")
        if address % PAGE_BYTES or size % PAGE_BYTES:
            raise XenonError(f"0x{address:x}: {size} bytes from here are not whole pages")
        return address // PAGE_BYTES, (address + size) // PAGE_BYTES


def _shown_first(protection: Protection) -> Protection:
    """The rights that pages are shown with after they were mapped or protected."""
    both = protection & _WRITE_AND_EXECUTE == _WRITE_AND_EXECUTE
    return protection & ~Protection.EXECUTE if both else protection


def _stretches(
    pattern: re.Pattern[bytes], rights: bytearray, first: int, end: int
) -> Iterator[tuple[int, int]]:
    """Address and size in bytes of the stretches of pages whose rights match."""
    for stretch in pattern.finditer(bytes(rights[first:end])):
        yield (first + stretch.start()) * PAGE_BYTES, (stretch.end() - stretch.start()) * PAGE_BYTES

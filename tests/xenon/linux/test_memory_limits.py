"""Memory calls with every kind of address: the right errno, and not a byte is written outside their reach."""

from __future__ import annotations

import itertools

import pytest
from callers import make_caller
from guards import behind, page_table
from support import sample

from xenon.errors import XenonError
from xenon.hardware.cpu import Protection
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES, SYSTEM, VIEWS
from xenon.hardware.pages import Pages
from xenon.linux.files import Disc
from xenon.linux.layout import PROGRAM
from xenon.linux.uapi import Error, Map
from xenon.recompiler.recompiler import Recompiler

_PAGES = RAM_BYTES // PAGE_BYTES

ENOMEM, EINVAL, EFAULT = -Error.ENOMEM, -Error.EINVAL, -Error.EFAULT
TOP = 1 << 64
SIZES = (1, PAGE_BYTES - 1, PAGE_BYTES, 3 * PAGE_BYTES + 5, RAM_BYTES, TOP - PAGE_BYTES)


class Guarded:
    """A process whose memory has the table of compiled code behind it."""

    def __init__(self, small_elf: bytes) -> None:
        self.memory = UnifiedMemory()
        self.pages = Pages(self.memory)
        self.recompiler = Recompiler(self.pages)
        self.call = make_caller(self.pages, Disc(), small_elf)
        self.scratch = self.call.scratch

    def is_shown(self) -> bool:
        """Whether the table behind RAM says what the machine's pages say, and nothing else is there."""
        return behind(self.memory) == page_table(self.pages)


@pytest.fixture
def guarded(small_elf: bytes) -> Guarded:
    return Guarded(small_elf)


def addresses(here: int) -> list[int]:
    """In RAM and out of it: views of a page, their ends, the ends of RAM, and the ends of all addresses."""
    views = [view.start | here for view, _ in VIEWS]
    ends = [end - PAGE_BYTES for view, _ in VIEWS for end in (view.start, view.end)]
    others = [0, PROGRAM.end, SYSTEM.start, RAM_BYTES - PAGE_BYTES, RAM_BYTES, 2 * RAM_BYTES, 0x7FC8_0000]
    return [*views, *ends, *others, 1 << 32, 1 << 63, TOP - 2 * PAGE_BYTES, TOP - PAGE_BYTES, here + 1]


def test_what_is_no_memory_of_the_program_is_neither_changed_nor_given(guarded: Guarded) -> None:
    call, scratch = guarded.call, guarded.scratch
    before = [guarded.pages.protection_at(scratch + page * PAGE_BYTES) for page in range(-1, 5)]
    guarded.memory.write(scratch, b"kept" * PAGE_BYTES)
    heap = call("brk", 0)
    for address, size in itertools.product(addresses(scratch), SIZES):
        case = hex(address), size
        off_page = address % PAGE_BYTES != 0
        for rights in (0, 3, 5, 7):
            assert call("mprotect", address, size, rights) == (EINVAL if off_page else ENOMEM), case
        below_end = not off_page and address + size <= PROGRAM.end
        assert call("munmap", address, size) == (0 if below_end else EINVAL), case
        assert call("mremap", address, size, 2 * PAGE_BYTES, 1) == (EINVAL if off_page else EFAULT), case
        if not address <= scratch < address + size or off_page:  # else the program may give it back
            wraps = address + size > TOP
            assert call("madvise", address, size, 4) == (EINVAL if off_page or wraps else 0), case
        fixed = Map.PRIVATE | Map.ANONYMOUS | Map.FIXED
        refusals = (ENOMEM, EINVAL) if off_page else (ENOMEM,)
        assert call("mmap", address, size, 7, fixed, -1, 0) in refusals, case
        assert call("brk", address) == heap, case
    after = [guarded.pages.protection_at(scratch + page * PAGE_BYTES) for page in range(-1, 5)]
    assert after == before
    assert call.peek(scratch, 4 * PAGE_BYTES) == b"kept" * PAGE_BYTES
    assert guarded.is_shown()


def test_a_call_that_writes_past_the_end_of_a_view_or_of_all_addresses_is_refused(guarded: Guarded) -> None:
    ends = [view.end for view, _ in VIEWS] + [PROGRAM.end, RAM_BYTES, 1 << 32, TOP]
    for end, before in itertools.product(ends, (1, 8, 15)):
        assert guarded.call("getrandom", end - before, before + 16, 0) == EFAULT, hex(end)
        assert guarded.call("clock_gettime", 1, end - before) == EFAULT, hex(end)
    assert guarded.is_shown()


def test_memory_is_shown_to_compiled_code_as_the_program_has_it(guarded: Guarded) -> None:
    call, scratch = guarded.call, guarded.scratch
    anonymous = Map.PRIVATE | Map.ANONYMOUS
    for rights in (0, 1, 3, 5):
        assert call("mprotect", scratch + PAGE_BYTES, 2 * PAGE_BYTES - 5, rights) == 0
        assert guarded.is_shown()
    high = call("mmap", PROGRAM.end - PAGE_BYTES, PAGE_BYTES, 3, anonymous | Map.FIXED_NO_REPLACE, -1, 0)
    assert high in (PROGRAM.end - PAGE_BYTES, -Error.EEXIST)
    place = call("mmap", 0, 5 * PAGE_BYTES, 3, anonymous, -1, 0)
    assert call("mremap", place + PAGE_BYTES, PAGE_BYTES, PAGE_BYTES, 0) == place + PAGE_BYTES
    assert call("munmap", place + PAGE_BYTES, 1) == 0
    assert call("munmap", scratch, 2 * PAGE_BYTES + 1) == 0
    assert guarded.is_shown()
    for page in range(5):
        assert guarded.pages.allows(place + page * PAGE_BYTES, PAGE_BYTES) == (page != 1)


def test_pages_outside_ram_or_in_parts_are_refused_whoever_asks(guarded: Guarded) -> None:
    for address, size in (
        (RAM_BYTES, PAGE_BYTES), (0x8000_0000 | guarded.scratch, PAGE_BYTES), (-PAGE_BYTES, PAGE_BYTES),
        (RAM_BYTES - PAGE_BYTES, 2 * PAGE_BYTES), (guarded.scratch, 1), (guarded.scratch + 4, PAGE_BYTES),
        (guarded.scratch, 0), (TOP - PAGE_BYTES, PAGE_BYTES), (guarded.scratch, TOP),
    ):  # fmt: skip
        for change in (guarded.pages.protect, guarded.pages.map):
            with pytest.raises(XenonError):
                change(address, size, Protection.READ)
        with pytest.raises(XenonError):
            guarded.pages.unmap(address, size)
    assert guarded.is_shown()


def count_pieces(pages: Pages) -> int:
    rights = [pages.protection_at(page * PAGE_BYTES) for page in range(_PAGES)]
    return sum(right is not None for right, _ in itertools.groupby(rights))


PRIVATE = Map.PRIVATE | Map.ANONYMOUS
CHANGES = 3000


@pytest.mark.parametrize("way", sample(["munmap", "mprotect", "mmap", "unmapped mmaps"], 2))
def test_the_pieces_of_the_map_are_bounded_and_fewer_are_always_possible(way: str, small_elf: bytes) -> None:
    pages = Pages(UnifiedMemory())
    call = make_caller(pages, Disc(), small_elf)

    def mmap(page_count: int, rights: int) -> int:
        return call("mmap", 0, page_count * PAGE_BYTES, rights, PRIVATE, -1, 0)

    if way == "mmap":
        results = [mmap(1, 1 + 2 * (number % 2)) for number in range(CHANGES)]
        starts = [address for address in results if address > 0]
    elif way == "unmapped mmaps":
        starts = sorted(mmap(1, 3) for _ in range(CHANGES))
        results = [call("munmap", address, PAGE_BYTES) for address in starts[::2]]
    else:
        start = mmap(2 * CHANGES, 3)
        starts = [start + 2 * number * PAGE_BYTES for number in range(CHANGES)]
        more = (1,) if way == "mprotect" else ()
        results = [call(way, address, PAGE_BYTES, *more) for address in starts]
    assert pages.pieces == 1024 == count_pieces(pages)
    assert results[0] >= 0
    assert results[-1] == ENOMEM
    assert call("munmap", min(starts), max(starts) + PAGE_BYTES - min(starts)) == 0
    assert pages.pieces < 100

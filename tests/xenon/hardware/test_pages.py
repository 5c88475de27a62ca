"""The table of page rights: what listeners are told, in which stage a page is, what is refused."""

from __future__ import annotations

import pytest

from xenon.errors import XenonError
from xenon.hardware.cpu import Protection
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.hardware.pages import Pages

READ, WRITE, EXECUTE = Protection.READ, Protection.WRITE, Protection.EXECUTE
HERE, VIEW = 0x40000, 0x8000_0000


class Listener:
    """Remembers what it shows: address to rights."""

    def __init__(self, pages: Pages) -> None:
        self.shown: dict[int, Protection] = {}
        self.forgotten: list[tuple[int, int]] = []
        self.is_pausable = False
        pages.listen(self)

    def be_pausable(self) -> None:
        self.is_pausable = True

    def map(self, address: int, size: int, shown: Protection) -> None:
        for page in range(address, address + size, PAGE_BYTES):
            assert page not in self.shown
            self.shown[page] = shown

    def unmap(self, address: int, size: int) -> None:
        for page in range(address, address + size, PAGE_BYTES):
            del self.shown[page]

    def protect(self, address: int, size: int, shown: Protection) -> None:
        for page in range(address, address + size, PAGE_BYTES):
            assert page in self.shown
            self.shown[page] = shown

    def own(self, address: int, shown: Protection) -> None:
        self.shown[address] = shown

    def forget_code(self, address: int, size: int) -> None:
        self.forgotten.append((address, size))


@pytest.fixture
def pages() -> Pages:
    return Pages(UnifiedMemory())


def test_no_two_listeners_show_a_page_as_writable_and_as_executable(pages: Pages) -> None:
    first, second = Listener(pages), Listener(pages)
    pages.map(HERE, PAGE_BYTES, READ | WRITE | EXECUTE)
    assert first.shown[HERE] == second.shown[HERE] == READ | WRITE
    pages.guest_jumped(HERE + 8)
    assert first.shown[HERE] == second.shown[HERE] == READ | EXECUTE
    assert pages.holds_code(HERE)
    pages.guest_stored(second, HERE + 8)
    assert (first.shown[HERE], second.shown[HERE]) == (READ, READ | WRITE | EXECUTE)
    assert not pages.holds_code(HERE)
    pages.guest_stored(first, VIEW | HERE)
    assert (first.shown[VIEW | HERE], second.shown[HERE]) == (READ | WRITE | EXECUTE, READ)
    assert pages.settle(HERE)
    assert first.shown[HERE] == second.shown[HERE] == READ | EXECUTE
    assert pages.protection_at(HERE) == READ | WRITE | EXECUTE


def test_pages_of_known_code_are_shown_as_executable_in_one_step(pages: Pages) -> None:
    listener = Listener(pages)
    pages.map(HERE, 3 * PAGE_BYTES, READ | WRITE | EXECUTE)
    pages.settle_all(HERE, 2 * PAGE_BYTES)
    shown = [listener.shown[HERE + number * PAGE_BYTES] for number in range(3)]
    assert shown == [READ | EXECUTE, READ | EXECUTE, READ | WRITE]
    assert pages.holds_code(HERE + PAGE_BYTES) and not pages.holds_code(HERE + 2 * PAGE_BYTES)
    pages.guest_stored(listener, HERE)
    assert listener.shown[HERE] == READ | WRITE | EXECUTE


def test_pages_that_are_not_all_data_stay(pages: Pages) -> None:
    listener = Listener(pages)
    pages.map(HERE, 2 * PAGE_BYTES, READ | WRITE | EXECUTE)
    pages.map(HERE + 2 * PAGE_BYTES, PAGE_BYTES, READ | WRITE)
    pages.guest_jumped(HERE)
    before = dict(listener.shown)
    pages.settle_all(HERE, 2 * PAGE_BYTES)
    pages.settle_all(HERE + PAGE_BYTES, 2 * PAGE_BYTES)
    assert listener.shown == before


def test_writes_from_outside_are_told_of_every_page_of_code(pages: Pages) -> None:
    listener = Listener(pages)
    pages.map(HERE, 3 * PAGE_BYTES, READ | EXECUTE)
    pages.map(HERE + 3 * PAGE_BYTES, PAGE_BYTES, READ | WRITE)
    pages.map(HERE + 4 * PAGE_BYTES, PAGE_BYTES, READ | WRITE | EXECUTE)
    pages.written(HERE + PAGE_BYTES - 1, 3 * PAGE_BYTES + 2)
    assert listener.forgotten == [(HERE, 3 * PAGE_BYTES), (HERE + 4 * PAGE_BYTES, PAGE_BYTES)]
    pages.written(HERE + 3 * PAGE_BYTES, PAGE_BYTES)
    pages.written(HERE, 0)
    assert len(listener.forgotten) == 2


def test_only_what_is_mapped_is_hidden(pages: Pages) -> None:
    listener = Listener(pages)
    for number in (0, 1, 3):
        pages.map(HERE + number * PAGE_BYTES, PAGE_BYTES, READ)
    pages.unmap(HERE, 8 * PAGE_BYTES)
    assert listener.shown == {}
    assert pages.protection_at(HERE) is None
    assert not pages.allows(HERE, 1)


def test_pages_are_mapped_once_and_change_only_while_they_are(pages: Pages) -> None:
    Listener(pages)
    pages.map(HERE, 2 * PAGE_BYTES, Protection.NONE)
    assert pages.allows(HERE, 2 * PAGE_BYTES)
    assert not pages.allows(HERE, 2 * PAGE_BYTES, READ)
    with pytest.raises(XenonError, match="mapped in part"):
        pages.map(HERE - PAGE_BYTES, 2 * PAGE_BYTES, READ)
    with pytest.raises(XenonError, match="not all"):
        pages.protect(HERE + PAGE_BYTES, 2 * PAGE_BYTES, READ)
    with pytest.raises(XenonError, match="already"):
        Listener(pages)


@pytest.mark.parametrize(
    ("address", "size"), [(RAM_BYTES - 8, 16), (VIEW | HERE, 4), (-8, 4), (0, 0), (HERE, -1), (HERE, 1 << 64)]
)
def test_what_leaves_ram_is_never_allowed(pages: Pages, address: int, size: int) -> None:
    pages.map(0, RAM_BYTES, READ | WRITE)
    assert not pages.allows(address, size)
    if size > 0:
        with pytest.raises(XenonError):
            pages.written(address, size)


def test_what_a_device_writes_over_code_is_dropped_later(pages: Pages) -> None:
    listener = Listener(pages)
    data, code, both, executed = (HERE + number * PAGE_BYTES for number in range(4))
    for address, rights in ((data, READ | WRITE), (code, READ | EXECUTE)):
        pages.map(address, PAGE_BYTES, rights)
    pages.map(both, 2 * PAGE_BYTES, READ | WRITE | EXECUTE)
    pages.guest_jumped(executed)
    pages.written_by_device(data, PAGE_BYTES)
    pages.written_by_device(both + 4, 4)
    assert not pages.has_stale_code
    pages.written_by_device(data + PAGE_BYTES - 4, 8)
    pages.written_by_device(executed + PAGE_BYTES - 4, 4)
    assert pages.has_stale_code
    assert listener.forgotten == []
    pages.drop_stale_code()
    assert listener.forgotten == [(code, PAGE_BYTES), (executed, PAGE_BYTES)]
    assert not pages.has_stale_code


def test_code_that_a_device_writes_while_it_is_dropped_stays_stale(pages: Pages) -> None:
    class WrittenMeanwhile(Listener):
        def forget_code(self, address: int, size: int) -> None:
            if not self.forgotten:
                pages.written_by_device(address, 4)
            super().forget_code(address, size)

    listener = WrittenMeanwhile(pages)
    pages.map(HERE, PAGE_BYTES, READ | EXECUTE)
    pages.written_by_device(HERE, 4)
    pages.drop_stale_code()
    assert pages.has_stale_code
    pages.drop_stale_code()
    assert not pages.has_stale_code
    assert listener.forgotten == [(HERE, PAGE_BYTES)] * 2


def test_a_listener_may_be_told_before_all_others() -> None:
    pages = Pages(UnifiedMemory())
    told: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def be_pausable(self) -> None: ...

        def map(self, address: int, size: int, shown: Protection) -> None:
            told.append(self.name)

        def unmap(self, address: int, size: int) -> None: ...

        def protect(self, address: int, size: int, shown: Protection) -> None: ...

        def forget_code(self, address: int, size: int) -> None: ...

    pages.listen(Named("cpu"))
    pages.listen(Named("hooks"), before=True)
    pages.listen(Named("behind"))
    pages.map(0x10000, PAGE_BYTES, Protection.READ)
    assert told == ["hooks", "cpu", "behind"]

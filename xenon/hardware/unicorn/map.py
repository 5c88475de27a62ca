"""What a Unicorn engine has of RAM: the pieces that are mapped, and those that physical views show."""

from __future__ import annotations

import unicorn
from unicorn.unicorn_py3.unicorn import Uc

from xenon.hardware.cpu import Protection
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES, VIEWS, physical
from xenon.hardware.unicorn.instruments import Instruments
from xenon.hardware.unicorn.pause import Pause

_MANY_PIECES = 256  # then a change takes a millisecond
_WRITE_AND_EXECUTE = Protection.WRITE | Protection.EXECUTE


class UnicornMap:
    """The map of one engine over the unified memory, a `PageOwner`. The engine rests while its map changes;
    `show_view` alone is for a hook of the engine's."""

    def __init__(
        self, engine: Uc, memory: UnifiedMemory, pause: Pause, instruments: Instruments | None
    ) -> None:
        self._engine = engine
        self._memory = memory  # the engine points into its buffer
        self._pause = pause
        self._instruments = instruments
        self._views: list[tuple[int, int]] = []  # address and size of what is shown in physical views

    def map(self, address: int, size: int, shown: Protection) -> None:
        self._note_code(address, size, shown)
        with self._pause.paused():
            self._drop_views()
            start, end = self._merge_neighbours(address, address + size, shown)
            self._show(start, start, end - start, shown)

    def unmap(self, address: int, size: int) -> None:
        with self._pause.paused():
            self._remove_translations(address, size)
            self._engine.mem_unmap(address, size)

    def protect(self, address: int, size: int, shown: Protection) -> None:
        self._note_code(address, size, shown)
        with self._pause.paused():
            self._change_rights(address, size, shown)

    def own(self, address: int, shown: Protection) -> None:
        start = physical(address)
        self._note_code(start, PAGE_BYTES, shown)
        with self._pause.paused():
            if address == start:
                self._change_rights(start, PAGE_BYTES, shown)
                return
            self._change_rights(start, PAGE_BYTES, shown & Protection.READ)
            self._show(address, start, PAGE_BYTES, shown)
            self._views.append((address, PAGE_BYTES))

    def forget_code(self, address: int, size: int) -> None:
        with self._pause.paused():
            self._remove_translations(address, size)

    def be_pausable(self) -> None:
        with self._pause.paused():
            self._pause.make_exact()

    def _note_code(self, address: int, size: int, shown: Protection) -> None:
        if self._instruments is not None and shown & Protection.EXECUTE:
            self._instruments.code.add((address, size))

    def _change_rights(self, address: int, size: int, rights: Protection) -> None:
        self._remove_translations(address, size)
        self._engine.mem_protect(address, size, int(rights))
        start, end = self._merge_neighbours(address, address + size, rights)
        if (start, end) != (address, address + size):
            self._engine.mem_unmap(address, size)
            self._show(start, start, end - start, rights)

    def _remove_translations(self, address: int, size: int) -> None:
        """Drop what the engine has translated of these bytes, at each of their addresses."""
        self._drop_views()
        if size <= PAGE_BYTES:
            self._engine.ctl_remove_cache(address, address + size)
            return
        for first, last, rights in list(self._engine.mem_regions()):  # a call may not span two of them
            if rights & Protection.EXECUTE and first < address + size and last >= address:
                self._engine.ctl_remove_cache(max(first, address), min(last + 1, address + size))

    def show_view(self, address: int) -> bool:
        """Show the piece of RAM behind an address in a physical view there, too; False where there is none.

        Only when it is asked for, because few programs do.
        """
        source = physical(address)
        if source == address or not self._memory.map.has_views:
            return False
        for first, last, rights in self._engine.mem_regions():
            if first <= source <= last and last < RAM_BYTES:
                view, begin = next((view, begin) for view, begin in VIEWS if view.start <= address < view.end)
                first, size = max(first, begin), last + 1 - max(first, begin)
                start = view.start + first - begin
                if rights & _WRITE_AND_EXECUTE == _WRITE_AND_EXECUTE:  # only where the page is owned
                    rights &= Protection.READ
                self._show(start, first, size, Protection(rights))
                self._views.append((start, size))
                return True
        return False

    def _show(self, address: int, source: int, size: int, rights: Protection) -> None:
        """Map RAM from `source` on at an address. RAM that is mapped without WRITE at first can be written by
        stmw and dcbz: the right is taken away instead."""
        self._engine.mem_map_ptr(address, size, unicorn.UC_PROT_ALL, self._memory.host_address + source)
        self._engine.mem_protect(address, size, int(rights))

    def _drop_views(self) -> None:
        """The map changes: views are shown anew when they are asked for."""
        for start, size in self._views:
            self._engine.ctl_remove_cache(start, start + size)
            self._engine.mem_unmap(start, size)
        self._views.clear()

    def _merge_neighbours(self, start: int, end: int, rights: Protection) -> tuple[int, int]:
        """What to map in one piece: each change of the engine's map costs time for every piece there is."""
        pieces = list(self._engine.mem_regions())
        if rights & Protection.EXECUTE and len(pieces) < _MANY_PIECES:
            return start, end  # unmapping would throw translations away
        for first, last, others in pieces:
            if others == rights and (last + 1 == start or first == end):
                self._engine.mem_unmap(first, last + 1 - first)
                start, end = min(start, first), max(end, last + 1)
        return start, end

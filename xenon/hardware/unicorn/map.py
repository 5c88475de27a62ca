"""What a Unicorn engine has of RAM: the pieces that are mapped, and those that physical views show.

The engine must be at rest (see `UnicornCpu.paused`), but for `show_view`, which its own hook calls.
"""

from __future__ import annotations

from unicorn.unicorn_py3.unicorn import Uc

from xenon.hardware.cpu import Protection
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import RAM_BYTES, VIEWS, physical


class UnicornMap:
    """The map of one engine over the unified memory."""

    def __init__(self, engine: Uc, memory: UnifiedMemory) -> None:
        self._engine = engine
        self._memory = memory  # the engine points into its buffer
        self._views: list[tuple[int, int]] = []  # address and size of what is shown in physical views

    def map(self, address: int, size: int, protection: Protection) -> None:
        """Show RAM at its own address, with these rights."""
        self._drop_views()
        start, end = self._merge_neighbours(address, address + size, protection)
        self._engine.mem_map_ptr(start, end - start, int(protection), self._memory.host_address + start)
        self._engine.ctl_remove_cache(address, address + size)

    def unmap(self, address: int, size: int) -> None:
        """Take it away again."""
        self._drop_views()
        self._engine.mem_unmap(address, size)
        self._engine.ctl_remove_cache(address, address + size)

    def protect(self, address: int, size: int, protection: Protection) -> None:
        """Change the rights of what is mapped."""
        self._drop_views()
        self._engine.mem_protect(address, size, int(protection))
        self._engine.ctl_remove_cache(address, address + size)

    def show_view(self, address: int) -> bool:
        """Show the piece of RAM behind an address in a physical view there, too; False where there is none.

        Only when it is asked for, because few programs do.
        """
        place = physical(address)
        if place == address:
            return False
        for first, last, rights in self._engine.mem_regions():
            if first <= place <= last and last < RAM_BYTES:
                view, begin = next((view, begin) for view, begin in VIEWS if view.start <= address < view.end)
                first, size = max(first, begin), last + 1 - max(first, begin)
                start = view.start + first - begin
                self._engine.mem_map_ptr(start, size, rights, self._memory.host_address + first)
                self._views.append((start, size))
                return True
        return False

    def _drop_views(self) -> None:
        """The map changes: views are shown anew when they are asked for."""
        for start, size in self._views:
            self._engine.mem_unmap(start, size)
            self._engine.ctl_remove_cache(start, start + size)
        self._views.clear()

    def _merge_neighbours(self, start: int, end: int, protection: Protection) -> tuple[int, int]:
        """What to map in one piece: each change of the engine's map costs time for every piece there is."""
        if protection & Protection.EXECUTE:  # unmapping would throw translations away
            return start, end
        for first, last, rights in list(self._engine.mem_regions()):
            if rights == protection and (last + 1 == start or first == end):
                self._engine.mem_unmap(first, last + 1 - first)
                start, end = min(start, first), max(end, last + 1)
        return start, end

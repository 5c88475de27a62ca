"""Looks at code before a CPU executes it, to hook instructions that the engine is not to execute itself."""

from __future__ import annotations

from collections.abc import Callable

from xenon.hardware.cpu import Protection
from xenon.hardware.pages import Pages


class CodeListener:
    """A `PageListener` that calls `find` with address and size of each stretch of code: before a CPU can
    execute it, which another CPU may be about to jump into, and once more when nobody can write to it any
    more."""

    def __init__(self, pages: Pages, find: Callable[[int, int], None]) -> None:
        self._find = find
        pages.listen(self, before=True)
        pages.listen(self)

    def be_pausable(self) -> None:
        """Hooks wait for a pause by themselves."""

    def map(self, address: int, size: int, shown: Protection) -> None:
        if shown & Protection.EXECUTE:
            self._find(address, size)

    def unmap(self, address: int, size: int) -> None:
        """A hook looks whether its instruction is still there."""

    def protect(self, address: int, size: int, shown: Protection) -> None:
        self.map(address, size, shown)

    def forget_code(self, address: int, size: int) -> None:
        self._find(address, size)

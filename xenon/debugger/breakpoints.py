"""Breakpoints: traps in place of instructions, which the program does not see through a debugger's reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from xenon.hardware.cpu import Protection
from xenon.hardware.memory_map import WORD_BYTES, physical
from xenon.hardware.pages import Pages

_TRAP = (0x7FE0_0008).to_bytes(WORD_BYTES, "big")  # tw 31,0,0


class Breakpoints:
    """The breakpoints in one machine's RAM; CPUs rest when these change. Code that was compiled from a page
    with a new breakpoint is dropped with the write of the trap."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._words: dict[int, bytes] = {}  # physical address: what stands there in truth

    def add(self, address: int) -> bool:
        """Break before the instruction at an address is executed; False where there is no code."""
        place = physical(address)
        may = address % WORD_BYTES == 0 and self._pages.allows(place, WORD_BYTES, Protection.EXECUTE)
        if may and place not in self._words:
            self._words[place] = self._pages.memory.read(place, WORD_BYTES)
            self._put(place, _TRAP)
        return may

    def remove(self, address: int) -> None:
        """Break there no more."""
        word = self._words.pop(physical(address), None)
        if word is not None:
            self._put(physical(address), word)

    def clear(self) -> None:
        for place in list(self._words):
            self.remove(place)

    def holds(self, address: int) -> bool:
        return physical(address) in self._words

    @contextmanager
    def for_a_step(self, address: int, targets: Iterable[int]) -> Iterator[None]:
        """In the block there is none at `address`, and one at each of the targets."""
        added = [target for target in targets if not self.holds(target) and self.add(target)]
        lifted = self.holds(address) and address not in added
        if lifted:
            self.remove(address)
        try:
            yield
        finally:
            for target in added:
                self.remove(target)
            if lifted:
                self.add(address)

    def read(self, address: int, size: int) -> bytes:
        """What stands at a physical address without breakpoints. Raises XenonError outside of RAM."""
        data = bytearray(self._pages.memory.read(address, size))
        for place, index, at in self._overlaps(address, size):
            data[at] = self._words[place][index]
        return bytes(data)

    def write(self, address: int, data: bytes) -> None:
        """Put bytes there, below the breakpoints. Raises XenonError outside of RAM."""
        shown = bytearray(data)
        for place, index, at in self._overlaps(address, len(data)):
            word = bytearray(self._words[place])
            word[index] = data[at]
            self._words[place] = bytes(word)
            shown[at] = _TRAP[index]
        self._put(address, bytes(shown))

    def _overlaps(self, address: int, size: int) -> Iterator[tuple[int, int, int]]:
        """Each byte of a breakpoint within the range: its breakpoint, its index there, and in the range."""
        for place in self._words:
            for index in range(WORD_BYTES):
                if 0 <= place + index - address < size:
                    yield place, index, place + index - address

    def _put(self, place: int, data: bytes) -> None:
        self._pages.memory.write(place, data)
        self._pages.written(place, len(data))

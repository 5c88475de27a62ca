"""Who called whom, from a PC, LR and r1: along the chain of stack frames (64-bit PowerPC ELF ABI).

A frame begins with the address of its caller's frame, and a function saves its LR in its caller's frame. The
guest's memory may hold anything: every address is looked at before it is believed.
"""

from __future__ import annotations

from collections.abc import Iterator

from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import RAM_BYTES
from xenon.profile.names import Functions

MOST_FRAMES = 128
_LINK_AT = 16  # of the saved LR, in the caller's frame
_NEW_FRAME_MASK, _NEW_FRAME = 0xFFFF_0003, 0xF821_0001  # stdu r1, -…(r1)
_MOST_PROLOGUE = 64  # instructions that are searched for it
_BC, _B, _XL = 16, 18, 19


class Stacks:
    """Reads the stacks of one program."""

    def __init__(self, memory: UnifiedMemory, functions: Functions) -> None:
        self._ram = memory.view
        self._functions = functions

    def walk(self, pc: int, link: int, stack: int) -> tuple[int, ...]:
        """The start of the function at `pc`, of its caller, and so on; `link` is LR, `stack` r1."""
        own = self._functions.at(pc)
        chain = list(self._chain(stack))
        callers = [address for address in chain if address]
        # A function that has called has saved LR, which is now an address of its own; before its first call
        # LR is what it has saved. Any other LR leads to the caller of a function that has not saved it.
        if self._returns_to(link) and not own.start <= link < own.end and link != (chain or [0])[0]:
            has_frame = self._makes_frame(own.start, pc)
            callers = [link, *(address for address in chain[has_frame:] if address)]
        return own.start, *(self._functions.at(address - 4).start for address in callers[:MOST_FRAMES])

    def _chain(self, frame: int) -> Iterator[int]:
        """The return addresses that are saved in the frames from r1 up, 0 where one is none."""
        for _ in range(MOST_FRAMES):
            above = self._word(frame)
            if not frame < above < RAM_BYTES or above % 8:
                return
            address = self._word(above + _LINK_AT)
            yield address if self._returns_to(address) else 0
            frame = above

    def _word(self, address: int) -> int:
        """64 bits, 0 for an address that is not in RAM."""
        if address % 8 or not 0 <= address <= RAM_BYTES - 8:
            return 0
        return int.from_bytes(self._ram[address : address + 8], "big")

    def _returns_to(self, address: int) -> bool:
        """Whether a call stands before an address."""
        if address % 4 or not 4 <= address < RAM_BYTES:
            return False
        word = int.from_bytes(self._ram[address - 4 : address], "big")
        return word >> 26 in (_BC, _B, _XL) and bool(word & 1)

    def _makes_frame(self, start: int, pc: int) -> bool:
        """Whether a function has a frame of its own by the time it is at `pc`."""
        if not 0 <= start <= pc <= RAM_BYTES:
            return False
        code = self._ram[start : min(pc, start + 4 * _MOST_PROLOGUE)]
        return any(
            int.from_bytes(code[at : at + 4], "big") & _NEW_FRAME_MASK == _NEW_FRAME
            for at in range(0, len(code) - 3, 4)
        )

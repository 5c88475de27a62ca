"""Who called whom, from PC, LR and r1: along the chain of stack frames (powerpc/abi.py).

The guest's memory may hold anything: every address is checked before it is used.
"""

from __future__ import annotations

from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import RAM_BYTES
from xenon.powerpc.abi import INSTRUCTION_BYTES, MOST_FRAMES, saved_links
from xenon.profile.code_map import CodeMap

_NEW_FRAME_MASK, _NEW_FRAME = 0xFFFF_0003, 0xF821_0001  # stdu r1, -…(r1)
_MOST_PROLOGUE = 64  # instructions that are searched for it
_BC, _B, _XL = 16, 18, 19  # primary opcodes


class Stacks:
    """Reads the stacks of one program."""

    def __init__(self, memory: UnifiedMemory, code: CodeMap) -> None:
        self._ram = memory.view
        self._code = code

    def walk(self, pc: int, link: int, stack_pointer: int) -> tuple[int, ...]:
        """The start of the function at `pc`, of its caller, and so on; `link` is LR, `stack_pointer` r1."""
        function = self._code.at(pc)
        links = [
            saved if self._returns_to(saved) else 0
            for saved in saved_links(self._read, stack_pointer, RAM_BYTES)
        ]
        callers = [address for address in links if address]
        # Once a function has called another, LR holds an address in the function itself. Before its first
        # call LR is what it has saved. Any other LR belongs to a function that has not saved it: its caller.
        if self._returns_to(link) and not function.start <= link < function.end and link != (links or [0])[0]:
            has_frame = self._makes_frame(function.start, pc)
            callers = [link, *(address for address in links[has_frame:] if address)]
        starts = (self._code.at(address - INSTRUCTION_BYTES).start for address in callers[:MOST_FRAMES])
        return function.start, *starts

    def _read(self, address: int, size: int) -> bytes | None:
        return bytes(self._ram[address : address + size]) if 0 <= address <= RAM_BYTES - size else None

    def _returns_to(self, address: int) -> bool:
        """Whether a call stands before an address."""
        if address % INSTRUCTION_BYTES or not INSTRUCTION_BYTES <= address < RAM_BYTES:
            return False
        word = int.from_bytes(self._ram[address - INSTRUCTION_BYTES : address], "big")
        return word >> 26 in (_BC, _B, _XL) and bool(word & 1)

    def _makes_frame(self, start: int, pc: int) -> bool:
        """Whether a function has made a frame of its own by the time it is at `pc`."""
        if not 0 <= start <= pc <= RAM_BYTES:
            return False
        code = self._ram[start : min(pc, start + INSTRUCTION_BYTES * _MOST_PROLOGUE)]
        return any(
            int.from_bytes(code[offset : offset + INSTRUCTION_BYTES], "big") & _NEW_FRAME_MASK == _NEW_FRAME
            for offset in range(0, len(code) - 3, INSTRUCTION_BYTES)
        )

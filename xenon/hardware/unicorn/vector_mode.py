"""VSCR.NJ of an engine: whether the vector unit takes denormal numbers for zero.

Unicorn 2.1.4 follows NJ with results alone. So its `mtvscr` is looked at before it is executed, and the
operands follow as well.
"""

from __future__ import annotations

import ctypes

from xenon.hardware.unicorn.engine_memory import VR_STRIDE, EngineMemory
from xenon.powerpc.words import KEYS, key_of

_MASK, _OPCODE = 0xFFFF_07FF, 0x1000_0644
_NON_JAVA = 0x0001_0000


class StatusMoves:
    """The words of `mtvscr`."""

    def __contains__(self, word: object) -> bool:
        return isinstance(word, int) and word & _MASK == _OPCODE

    def likely(self) -> bytes:
        """See Words."""
        likely = bytearray(KEYS)
        likely[key_of(_OPCODE)] = 1
        return bytes(likely)


STATUS_MOVES = StatusMoves()


class VectorMode:
    """Told of each `mtvscr` of an engine whose registers are known."""

    def __init__(self, memory: EngineMemory) -> None:
        self._memory = memory
        self._registers = memory.place(memory.layout.vr)
        memory.flush_operands(True)

    def follow(self, _address: int, word: int) -> None:
        """Element 3 of VB is about to become VSCR: the low 32 bits of the host's number."""
        source = self._registers + VR_STRIDE * (word >> 11 & 31)
        self._memory.flush_operands(bool(ctypes.c_uint32.from_address(source).value & _NON_JAVA))

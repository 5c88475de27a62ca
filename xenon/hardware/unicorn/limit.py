"""A limit on how many instructions an engine executes."""

from __future__ import annotations

import unicorn
from unicorn.unicorn_py3.unicorn import Uc

from xenon.hardware.memory_map import WORD_BYTES


class InstructionLimit:
    """Counts the instructions of one engine, block by block, from the first call of `allow` on."""

    def __init__(self, engine: Uc) -> None:
        self.is_reached = False
        """Set by a block that is not executed because the limit leaves too few instructions."""
        self._engine = engine
        self._left: int | None = None
        self._block_end = 0

    @property
    def is_set(self) -> bool:
        """Whether instructions are counted."""
        return self._left is not None

    def allow(self, count: int) -> None:
        """Allow so many further instructions."""
        if self._left is None:
            self._engine.hook_add(unicorn.UC_HOOK_BLOCK, self._on_block)
            self._engine.ctl_flush_tb()  # a hook does not reach blocks that are translated already
        self._left = count

    def cut(self, pc: int) -> None:
        """The engine has left the block at hand before the instruction at `pc`, and goes on there."""
        if self._left is not None:
            self._left += (self._block_end - pc) // WORD_BYTES

    def _on_block(self, engine: Uc, address: int, size: int, _: object) -> None:
        if self._left is None:
            return
        self._block_end = address + size
        left = self._left - size // WORD_BYTES
        if left < 0:
            self.is_reached = True
            engine.emu_stop()
        else:
            self._left = left

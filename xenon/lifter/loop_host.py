"""What a loop (loops.py, loop_rounds.py) asks of the function that it is part of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from xenon.lifter.block_ends import BlockEnds
from xenon.lifter.flow import Block
from xenon.lifter.guards import Guard
from xenon.lifter.lift import Lifter
from xenon.powerpc.decode import Instruction


class LoopHost(Protocol):
    """What a loop asks of the function that it is part of; see unit.py."""

    lifter: Lifter
    ends: BlockEnds

    def plain(self, block: Block, guards: dict[int, Guard]) -> None:
        """Emit a block in which every address is checked."""

    def begin(self, block: Block) -> None:
        """Tell the lifter what holds at the start of a block."""

    def body(
        self,
        block: Block,
        guards: dict[int, Guard],
        instead: Callable[[int, Instruction], bool] | None = None,
    ) -> None:
        """Emit the instructions of a block but for its branch."""

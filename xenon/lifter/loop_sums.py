"""Running sums of a loop that are one operation: what a loop asks of them, whatever their form is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from xenon.lifter.flow import Block
from xenon.lifter.guards import Place
from xenon.lifter.half_sums import find_half_sums
from xenon.lifter.lift import Lifter
from xenon.lifter.rows_together import find_rows_together
from xenon.lifter.side_by_side import find_side_by_side
from xenon.lifter.slots import Slot
from xenon.lifter.speculate import Read
from xenon.lifter.unpacked import find_unpacked
from xenon.lifter.values import Value


class Sums(Protocol):
    """The sums of one loop. A row is the indices of loads from neighbouring lines."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Where sums are while fast rounds are under way, instead of in their VRs."""

    @property
    def indices(self) -> frozenset[int]:
        """The instructions of the block that take part."""

    def repeated_rows(self) -> list[list[tuple[int, ...]]]:
        """Loads that may be the same in a later run of the loop, a list of rows for each way to be so."""

    def begin(self, known: Iterable[tuple[int, ...]], /) -> None:
        """Start another form of the loop, in which the lanes of these rows are known to be factors."""

    def lift(self, lifter: Lifter, block: Block, index: int) -> bool:
        """Emit what stands for one of the instructions; whether it is done with."""

    def assumed(self, read: Read, /) -> list[Value]:
        """Emit what must hold before the first round, each an i1."""

    def pack(self, lifter: Lifter) -> None:
        """Before the first round, emit the way of sums from their VRs into the slots."""

    def unpack(self, lifter: Lifter) -> None:
        """Behind the last one, emit the way back."""


def find_sums(block: Block, places: dict[int, Place], halves: bool) -> Sums | None:
    """The sums of a loop of one block, if it has some. `halves`: the host converts IEEE 754's binary16."""
    return (
        find_side_by_side(block, places)
        or find_unpacked(block, places)
        or (find_half_sums(block, places) if halves else None)
        or find_rows_together(block, places)
    )

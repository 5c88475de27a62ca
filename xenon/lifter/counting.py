"""What compiled code adds when a program is measured: it counts, and says which function it is in.

An instruction is executed as often as the one before it, if that is no branch, and once more for each jump to
it. So compiled code counts the jumps to a block, and takes one away where it leaves inside of one. The counts
stand behind the state, at a distance that is known when code is compiled: one `inc` each, which LLVM may keep
in a register around a loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xenon.hardware.memory_map import RAM_BYTES
from xenon.hardware.unicorn.instruments import COMPILED_AT
from xenon.lifter import layout

if TYPE_CHECKING:
    from xenon.lifter.registers import Registers


def count(lifter: Registers, address: int, step: int | str = 1) -> None:
    """Control has jumped to the instruction at an address `step` times, an i64; -1: has left before it."""
    place = lifter.field(COMPILED_AT + 2 * (address & (RAM_BYTES - 4)))
    before = lifter.op(f"load i64, ptr {place}")
    lifter.emit(f"store i64 {lifter.op(f'add i64 {before}, {step}')}, ptr {place}")


def say_where(lifter: Registers, function: int) -> None:
    """The function at this address is under way, for who takes samples."""
    lifter.emit(f"store i64 {function}, ptr {lifter.field(layout.FUNCTION)}")

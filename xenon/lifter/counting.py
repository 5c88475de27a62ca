"""What compiled code adds when a program is measured: counters, and the function that is under way.

An instruction is executed as often as the one before it, if that is no branch, and once more for each jump to
it. So compiled code counts the jumps to a block, and takes one away where it leaves inside of one. The
counters stand at a fixed distance from the state: one `inc` each, which LLVM may keep in a register around a
loop.
"""

from __future__ import annotations

from xenon.lifter import layout
from xenon.lifter.emitter import Emitter
from xenon.lifter.ir_types import I64
from xenon.lifter.target import Target
from xenon.lifter.values import Value


def count(emitter: Emitter, target: Target, address: int, step: int | Value = 1) -> None:
    """Count `step` (an i64) jumps to the instruction at a guest address, -1 for an exit before it; nothing
    if the target counts nothing."""
    if target.counters is None:
        return
    counter = emitter.field(target.counters + 2 * (address & (target.ram_bytes - 4)))
    emitter.write(emitter.read(I64, counter) + step, counter)


def jump_label(target: Target, address: int) -> str:
    """Of a block, for a jump that is counted, if any is."""
    return f"{'B' if target.counters is None else 'C'}{address:x}"


def note_function(emitter: Emitter, target: Target, address: int) -> None:
    """Name the function at this guest address as the one under way, and its tier, for a sampler."""
    word = address | (layout.OPTIMISED if target.optimised else 0)
    emitter.write(emitter.constant(I64, word), emitter.field(layout.FUNCTION))

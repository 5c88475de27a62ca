"""Loops of one block, whose addresses move by the same step each round: how many rounds stay on good pages.

A loop gets two forms. The fast one counts down the rounds for which every address has been found good
beforehand, and makes no check; where that comes to an end the pages are looked at again. The slow one checks
each access, and serves where not even one round is certain.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xenon.hardware.memory_map import PAGE_BYTES
from xenon.lifter import layout
from xenon.lifter.flow import Block
from xenon.lifter.guards import Guard

if TYPE_CHECKING:
    from xenon.lifter.lift import Lifter

MOST_ROUNDS = 1 << 16  # until the next look at whether the CPU is to stop


@dataclass(frozen=True, slots=True)
class Stream:
    """The accesses of one guard: their lowest address is the sum of `registers` and `offset` in the first
    round, and `step` bytes higher in each further one."""

    registers: tuple[int, ...]
    offset: int
    extent: int
    step: int
    write: bool
    aligned: bool


def find_streams(block: Block, guards: dict[int, Guard], steps: dict[int, int]) -> dict[int, Stream]:
    """The guards of a loop that can be made ahead of it, by index; none without a known step."""
    found = {}
    for index, guard in guards.items():
        registers = _registers(guard.origin)
        if registers is None or any(number not in steps for number in registers):
            continue
        step = sum(steps[number] for number in registers)
        extent = guard.high - guard.low + (15 if guard.aligned else 0)
        if step >= 0:
            offset = guard.offset + guard.low
            found[index] = Stream(registers, offset, extent, step, guard.write, guard.aligned)
    return found


def _registers(origin: Hashable) -> tuple[int, ...] | None:
    """The GPRs whose sum an origin is; None for one that is not known at the start of the block."""
    if origin == "constant":
        return ()
    if isinstance(origin, int):
        return (origin,)
    if isinstance(origin, tuple) and all(isinstance(part, int) for part in origin):
        return origin
    return None


def safe_rounds(lifter: Lifter, streams: dict[int, Stream]) -> str:
    """Emit the number of rounds, an i64, that may run without a check."""
    total = str(MOST_ROUNDS)
    for stream in dict.fromkeys(streams.values()):
        rounds = _rounds(lifter, stream)
        total = lifter.op(f"call i64 @llvm.umin.i64(i64 {total}, i64 {rounds})")
    return total


def _rounds(lifter: Lifter, stream: Stream) -> str:
    low = str(stream.offset)
    for number in stream.registers:
        low = lifter.op(f"add i64 {low}, {lifter.gpr(number)}")
    if stream.aligned:
        low = lifter.op(f"and i64 {low}, -16")
    page = lifter.op(f"lshr i64 {low}, {PAGE_BYTES.bit_length() - 1}")
    page = lifter.op(f"call i64 @llvm.umin.i64(i64 {page}, i64 {layout.PAGE_COUNT})")  # whose byte is 0
    bits = lifter.op(f"load i8, ptr {lifter.op(f'getelementptr i8, ptr %pages, i64 {page}')}")
    one, run = (layout.WRITE_ONE, layout.WRITE_RUN) if stream.write else (layout.READ, layout.READ_RUN)
    here = lifter.op(f"icmp ne i8 {lifter.op(f'and i8 {bits}, {one}')}, 0")
    next_too = lifter.op(f"icmp ne i8 {lifter.op(f'and i8 {bits}, {run}')}, 0")
    rest = lifter.op(f"sub i64 {PAGE_BYTES}, {lifter.op(f'and i64 {low}, {PAGE_BYTES - 1}')}")
    good = lifter.op(f"select i1 {here}, i64 {rest}, i64 0")
    more = lifter.op(f"select i1 {next_too}, i64 {PAGE_BYTES}, i64 0")
    good = lifter.op(f"add i64 {good}, {more}")
    enough = lifter.op(f"icmp uge i64 {good}, {stream.extent}")
    rounds = str(MOST_ROUNDS)
    if stream.step:
        spare = lifter.op(f"sub i64 {good}, {stream.extent}")
        rounds = lifter.op(f"add i64 {lifter.op(f'udiv i64 {spare}, {stream.step}')}, 1")
    return lifter.op(f"select i1 {enough}, i64 {rounds}, i64 0")

"""Long functions are compiled in parts: runs of their blocks in the order of addresses, each a unit.

What a part jumps to in another one becomes an empty block that leaves through the state; the other part may
be entered there, and where its loops begin: it takes too long to compile it once for each loop that turns out
to be hot. Where the cuts are depends on the whole function alone, so that its parts fit together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from xenon.lifter.flow import Block, End, Flow

LONGEST = 1200
"""Instructions of a function that is one unit: LLVM takes more than twice the time for twice as many."""
_PART = 800  # instructions


def part_of(flow: Flow, entry: int) -> Flow:
    """The part of a long function that holds a block, with `entry`, its address, as the first entry."""
    for starts in _cuts(flow):
        if entry in starts:
            return _part(flow, starts, entry)
    raise ValueError(f"0x{entry:x} begins no block")


def _cuts(flow: Flow) -> Iterator[frozenset[int]]:
    starts: list[int] = []
    size = 0
    for start in sorted(flow.blocks):
        length = len(flow.blocks[start].instructions)
        if starts and size + length > _PART:
            yield frozenset(starts)
            starts, size = [], 0
        starts.append(start)
        size += length
    yield frozenset(starts)


def _part(flow: Flow, starts: frozenset[int], entry: int) -> Flow:
    blocks = {start: flow.blocks[start] for start in sorted(starts)}
    beyond = {to for block in blocks.values() for to in block.successors} - starts
    joints = {
        to for start, block in flow.blocks.items() if start not in starts for to in block.successors
    } & starts
    loops = {to for start, block in blocks.items() for to in block.successors if to <= start} & starts
    calls = {block.target for block in blocks.values() if block.end in (End.CALL, End.TAIL)}
    blocks |= {to: Block(to, end=End.BEYOND, target=to) for to in sorted(beyond)}
    entries = (entry, *(other for other in flow.entries if other in starts and other != entry))
    return replace(
        flow,
        entries=entries,
        blocks=blocks,
        calls=frozenset(calls),
        joints=frozenset(joints | loops),
        beyond=frozenset(beyond),
    )

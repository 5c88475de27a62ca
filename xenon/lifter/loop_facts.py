"""What is known of a loop of one block before any of it is emitted."""

from __future__ import annotations

from xenon.lifter.flow import Block, End
from xenon.lifter.guards import Addresses, writes_memory
from xenon.lifter.loop_sums import find_sums
from xenon.lifter.remembered import repeated
from xenon.lifter.slots import slots_of
from xenon.lifter.streams import find_followed, find_placed, find_streams
from xenon.lifter.target import Target


def is_loop(block: Block) -> bool:
    """Whether a block branches to itself."""
    return block.end is End.BRANCH and block.start in block.successors


class LoopFacts:
    """Of one loop: what its heads (loops.py) and its rounds (loop_rounds.py) go by."""

    def __init__(self, block: Block, addresses: Addresses, target: Target) -> None:
        self.block = block
        self.start = block.start
        self.guards = addresses.guards
        self.streams = find_streams(self.guards, addresses.steps)
        """The guards that can be made ahead of the rounds, by the index of their instruction."""
        self.sums = find_sums(block, addresses.places, target.halves)
        """What emits its sums that are one operation, if it has some."""
        self.unchecked = all(index in self.streams for index in self.guards)
        """Whether the fast form checks no address at all, so that it may speculate."""
        self.followed = find_followed(addresses, self.streams.values())
        """Hints that the fast form leaves out, by index."""
        self.placed = find_placed(addresses) if self.unchecked else {}
        """Accesses whose place in their line stays, by index."""
        accesses = [instruction for instruction in block.body if instruction.access is not None]
        writes = [writes_memory(instruction) for instruction in accesses]
        self.writes = any(writes)
        """Whether it writes memory."""
        self.may_retreat = self.unchecked and not self.writes
        """Whether all fast rounds may be done again."""
        self.writes_last = self.writes and all(writes[writes.index(True) :])  # of its accesses
        """Whether it writes memory, and reads none behind its first store."""
        names = frozenset().union(*(instruction.writes for instruction in block.instructions))
        self.changed = tuple(slot for name in sorted(names) for slot in slots_of(name))
        """The slots that a round writes."""
        last = block.last
        counts = last is not None and last.mnemonic == "bc" and last.rt & 0b10110 == 0b10000
        self.counted = counts and block.successors[0] == block.start
        """Whether it ends with bdnz back to its start."""
        ways = self.sums.repeated_rows() if self.sums is not None and self.may_retreat else []
        self.repeated = [(tuple(rows), streams) for rows in ways if (streams := repeated(rows, addresses))]
        """Loads that may be the same in a later run, with their streams: a pair for each way to be so."""

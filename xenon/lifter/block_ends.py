"""How a block ends: branches to other blocks, calls, and the ways out of the function.

LLVM blocks: X, where the function goes on in another of its parts (parts.py); those of switches.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from xenon.lifter import layout, slots
from xenon.lifter.counting import count, jump_label
from xenon.lifter.emitter import LIKELY
from xenon.lifter.entry import Entries
from xenon.lifter.exits import Exits
from xenon.lifter.facts import ALL_LIVE, Facts
from xenon.lifter.flow import Block, End, Flow
from xenon.lifter.ir_types import I32, I64
from xenon.lifter.layout import Status
from xenon.lifter.lift import Lifter
from xenon.lifter.slots import CTR, LR
from xenon.lifter.switches import Switches
from xenon.lifter.values import Value


class BlockEnds:
    """The ends of the blocks of one function, and what loops need of them."""

    def __init__(
        self,
        lifter: Lifter,
        flow: Flow,
        facts: Facts,
        used: frozenset[str],
        entries: Entries,
        name: str,
        leaves: Mapping[int, str],
    ) -> None:
        """`used`: the registers of the function. `name`: its LLVM name. `leaves`: those of functions of the
        same module, by guest address."""
        self._lifter = lifter
        self._target = lifter.target
        self._flow = flow
        self._facts = facts
        self._used = used
        self._entries = entries
        self._leaves = leaves
        self._exits = Exits(lifter, lifter.target, leaves)
        self._switches = Switches(lifter, name, self._exits)
        self._beyond: set[str] | None = None  # registers changed where control leaves for another part

    def lift(self, block: Block) -> None:
        """Emit the end of a block."""
        lifter = self._lifter
        taken = self.condition(block)
        if block.last is not None and block.end is not End.LEAVE:
            lifter.note_changed(block.last.writes)
            if block.last.mnemonic in ("bl", "bcctrl", "bcl"):
                lifter.set(LR, lifter.constant(I64, block.after))
                lifter.note_changed(("lr",))
        if block.end in (End.FALL, End.BRANCH):
            self._branch(block, taken)
        elif block.end is End.LEAVE:
            # An instruction for the interpreter, which does not enter compiled code at it.
            lifter.leave(block.target, Status.REPEAT, lifter.changed)
        elif block.end is End.INTERPRETED and block.last is not None:
            lifter.leave(block.last.address, Status.REPEAT, lifter.changed)
        elif block.end is End.SYSTEM_CALL:
            lifter.leave(block.after, Status.SYSTEM_CALL, lifter.changed)
        elif block.end is End.TAIL:
            self._exits.go(lifter.constant(I64, block.target), block.target)
        elif block.end is End.SWITCH:
            for successor in block.successors:
                self.convert(successor)
            backwards = min(block.successors) <= block.start
            self._switches.jump(tuple(sorted(block.successors)), lifter.get(CTR) & -4, backwards)
        elif block.end is End.BEYOND:
            count(lifter, self._target, block.target, -1)  # the other part counts it
            self._exits.keep_doubles()
            lifter.write(lifter.constant(I64, block.target), lifter.named("to"))
            self._beyond = (self._beyond or set()) | lifter.changed
            lifter.branch("X")
        elif block.end is End.JUMP_CTR:
            self._unless_taken(block, taken)
            self._exits.go(lifter.get(CTR) & -4, None)
        elif block.end is End.RETURN:
            self._unless_taken(block, taken)
            lifter.leave(lifter.get(LR) & -4, Status.GO_ON, lifter.changed)
        elif block.end is End.CALL:
            self._call(block, lifter.constant(I64, block.target), block.target)
        else:
            self._call(block, lifter.get(CTR) & -4, None)

    def finish(self) -> list[str]:
        """Emit what several ends go to, behind all blocks. Returns the definitions of what it reads."""
        lifter = self._lifter
        maps = self._switches.choose(partial(jump_label, self._target))
        if self._beyond is not None:
            lifter.start("X")
            lifter.forget()
            lifter.begin_block((), self._beyond, ALL_LIVE)
            self._exits.go(lifter.read(I64, lifter.named("to")), None)
        return maps

    def condition(self, block: Block) -> Value | None:
        """Whether the branch at the end is taken, None where it always is. Counts CTR down."""
        last = block.last
        if last is None or not last.mnemonic.startswith("bc"):
            return None
        lifter, bo = self._lifter, last.rt
        terms = []
        if not bo & 4:
            lifter.set(CTR, lifter.get(CTR) + -1)
            terms.append(lifter.get(CTR).icmp("eq" if bo & 2 else "ne", 0))
        if not bo & 16:
            bit = lifter.bit(last.ra)
            terms.append(bit if bo & 8 else ~bit)
        return lifter.all_of(terms) if terms else None

    def _branch(self, block: Block, taken: Value | None) -> None:
        lifter = self._lifter
        if taken is None or len(block.successors) == 1:
            self.go_to(block.successors[0], block.start, falls=block.end is End.FALL)
            return
        labels = [lifter.label() for _ in block.successors]
        lifter.branch_if(taken, labels[0], labels[1])
        known = lifter.known()
        for label, successor in zip(labels, block.successors, strict=True):
            lifter.start(label)
            lifter.resume(known)
            self.go_to(successor, block.start)

    def go_to(self, successor: int, start: int | None = None, falls: bool = False) -> None:
        """Branch to a block. A branch back, from the block at `start`, first looks whether to stop. `falls`:
        in the guest there is no branch, so that none is counted."""
        self.convert(successor)
        if start is not None and successor <= start:
            self.poll(successor)
        if falls:
            self._lifter.branch(f"B{successor:x}")
        else:
            self._lifter.branch(jump_label(self._target, successor))

    def convert(self, successor: int) -> None:
        """Give FPRs that are single here, and need not be in this successor, their double form."""
        lifter, facts = self._lifter, self._facts
        for name in sorted(lifter.proven & facts.live[successor] - facts.proven[successor]):
            if slots.is_fpr(name) and name in self._used:
                number = slots.number_of(name)
                lifter.store_slot(slots.double(number), lifter.double(number, exact=True))

    def poll(self, successor: int, counted: bool = False) -> None:
        """Leave at `successor` if the CPU is to stop; `counted`: the jump there is counted already."""
        lifter = self._lifter
        leave, stay = lifter.labels(2)
        lifter.branch_if(self._exits.stays(), stay, leave, LIKELY)
        lifter.start(leave)
        if counted:
            count(lifter, self._target, successor, -1)
        lifter.leave(successor, Status.GO_ON, lifter.exit_registers(self._facts.live[successor]))
        lifter.start(stay)

    def _unless_taken(self, block: Block, taken: Value | None) -> None:
        """Go to the next block unless a jump out of the function is taken; go on where it is."""
        lifter = self._lifter
        if taken is not None:
            out, stay = lifter.labels(2)
            lifter.branch_if(taken, out, stay)
            lifter.start(stay)
            known = lifter.known()
            self._branch(block, None)
            lifter.resume(known)
            lifter.start(out)

    def _call(self, block: Block, target: Value, known: int | None) -> None:
        """Call compiled code if this module or the dispatch table has it; else, or when it comes back
        elsewhere, return. `known` is the target where it is known now."""
        lifter = self._lifter
        back, out = lifter.labels(2)
        self._exits.enter_other(target, known, out)
        pc = lifter.read(I64, lifter.field(layout.PC))
        status = lifter.read(I32, lifter.field(layout.STATUS))
        returned = pc.icmp("eq", block.after)
        lifter.branch_if(returned & status.icmp("eq", 0), back, out, LIKELY)
        lifter.start(out)
        lifter.emit("ret void")
        lifter.start(back)
        if block.after in self._flow.beyond:
            lifter.forget()
            lifter.begin_block((), (), ALL_LIVE)
            self._exits.go(lifter.constant(I64, block.after), None)
        elif known in self._leaves:
            self._entries.arrive(block.after)  # where LLVM may see what the leaf did
        else:
            lifter.branch(self._entries.label(block.after))

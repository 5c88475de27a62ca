"""The rounds of a loop of one block, form by form, and the verdicts behind them (see loops.py).

The fast form makes no check of an address. Where it writes no memory it also speculates (see speculate.py) on
all of these rounds at once: the registers it began with are kept, and where the verdict at the end is bad the
rounds are done again in the slow form, which after that serves some more times without another try. In a loop
that writes memory each round is found before its stores, which wait for the end of the round where nothing
is read behind the first of them.

LLVM blocks: F and S, the rounds of the fast and the slow form, and with speculation V, the verdict behind the
fast ones. Where what the loop loads may be remembered (remembered.py), G0 and G1 are forms as F, which need
not look at some of it, and W0 and W1 are the verdicts behind those.
"""

from __future__ import annotations

from collections.abc import Sequence

from xenon.lifter.coarse import note_coarse
from xenon.lifter.counting import count
from xenon.lifter.emitter import LIKELY
from xenon.lifter.guards import Guard, writes_memory
from xenon.lifter.ir_types import BIT, I64
from xenon.lifter.loop_facts import LoopFacts
from xenon.lifter.loop_host import LoopHost
from xenon.lifter.loop_slots import (
    AGAIN,
    DISTRUST_LEFT,
    ROUGH_LEFT,
    ROUNDS,
    ROUNDS_BEFORE,
    behind_slot,
)
from xenon.lifter.remembered import Memory, remember
from xenon.lifter.speculate import Speculation
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction

_DISTRUST = 15  # times that the slow form serves after a bad verdict


class Rounds:
    """The rounds of one loop, on their way into the function of its host. Where no more are known to be good
    they go to A, the head for what is left; from a bad verdict to S."""

    def __init__(self, host: LoopHost, facts: LoopFacts, memories: Sequence[Memory]) -> None:
        """`memories`: what is remembered where rounds went well."""
        self._host = host
        self._facts = facts
        self._block = facts.block
        self._start = facts.start
        self._lifter = host.lifter
        self._memories = memories

    # Rounds that need a verdict

    def fast(self, form: str, verdict: str, known_rows: tuple[tuple[int, ...], ...] = ()) -> Speculation:
        """A form and the verdict behind it. `known_rows` are loads that are known to be factors."""
        lifter, block, host, start = self._lifter, self._block, self._host, self._start
        wide_slots = self._facts.sums.slots if self._facts.sums is not None else ()
        changed = frozenset((*self._facts.changed, *wide_slots))
        rough = bool(known_rows)
        speculation = Speculation(lifter, changed, over_rounds=not self._facts.writes, rough=rough)
        if self._facts.sums is not None:
            self._facts.sums.begin(known_rows)
        lifter.start(f"{form}{start:x}")
        lifter.forget()
        lifter.speculate(speculation, defer=self._facts.writes)
        if self._facts.writes_last:
            lifter.hold_stores()
        host.body(block, {}, self._instead)
        lifter.behind_line = None
        if self._facts.writes:
            self._commit()
            lifter.make_stores()
        else:
            speculation.end_round(lifter.known().values)
            lifter.end_speculation()
        taken = host.ends.condition(block)
        known = lifter.known()
        left = self._count_down()
        host.ends.convert(start)
        more = left.icmp("ne", 0)
        again = more if self._facts.counted or taken is None else more & self._back(taken)
        lifter.branch_if(again, f"{form}{start:x}", f"{verdict}{start:x}", LIKELY)
        lifter.start(f"{verdict}{start:x}")
        if self._facts.writes:
            self._count_rounds(1)
        else:
            self._restore_unless(speculation, rough)
        if not known_rows:
            remember(lifter, self._memories, lifter.read_number(ROUNDS_BEFORE) - lifter.read_number(ROUNDS))
        lifter.resume(known)
        if self._facts.sums is not None:
            self._facts.sums.unpack(lifter)
        self._go_on(taken)
        return speculation

    def _instead(self, index: int, instruction: Instruction) -> bool:
        """Of an instruction of the body: commit before the first store, unless stores wait, and emit those of
        the four sums."""
        if writes_memory(instruction) and not self._facts.writes_last:
            self._commit()
        if index in self._facts.followed:
            return True
        place = self._facts.placed.get(index)
        self._lifter.behind_line = (
            None if place is None else self._lifter.read_number(behind_slot(self._start, place))
        )
        if self._facts.sums is None or index not in self._facts.sums.indices:
            return False
        return self._facts.sums.lift(self._lifter, self._block, index)

    def _commit(self) -> None:
        """Before stores are made: is the round right so far? If not, the slow form does it from its start."""
        lifter, speculation = self._lifter, self._lifter.speculation
        if speculation is None:
            return
        good = speculation.round_verdict()
        deferred = lifter.end_speculation()
        if good != lifter.constant(BIT, True):
            well, bad = lifter.labels(2)
            lifter.branch_if(good, well, bad, LIKELY)
            lifter.start(bad)
            self._count_rounds(0)
            self._distrust()
            lifter.start(well)
        for slot, value in deferred.items():
            lifter.store_slot(slot, value)

    def _distrust(self) -> None:
        """To the slow form, for this time and some more."""
        self._lifter.write_number(DISTRUST_LEFT, self._lifter.constant(I64, _DISTRUST))
        self._lifter.branch(f"S{self._start:x}")

    def _restore_unless(self, speculation: Speculation, rough: bool) -> None:
        """The verdict on all rounds; where it is bad, registers are as before and another form serves: the
        slow one, or behind a rough look the fast one that looks closely."""
        lifter = self._lifter
        well, bad = lifter.labels(2)
        lifter.forget()
        lifter.branch_if(speculation.final_verdict(lifter.get), well, bad, LIKELY)
        lifter.start(bad)
        again, first, restored = lifter.labels(3)
        lifter.branch_if(lifter.read(BIT, lifter.named(AGAIN)), again, first)
        for label, prefix in ((again, "before"), (first, "first")):
            lifter.start(label)
            for slot in self._facts.changed:
                lifter.store_slot(slot, lifter.read(slot.type, lifter.named(f"{prefix}_{slot.name}")))
            lifter.branch(restored)
        lifter.start(restored)
        lifter.write_number(ROUNDS, lifter.read_number(ROUNDS_BEFORE))
        if rough:
            lifter.write_number(ROUGH_LEFT, lifter.constant(I64, _DISTRUST))
            lifter.branch(f"PN{self._start:x}")
        else:
            self._distrust()
        lifter.start(well)
        self._count_rounds(1)

    def _count_rounds(self, last: int) -> None:
        """Count the jumps back of the speculative rounds that are done, but for the `last` one's."""
        lifter = self._lifter
        if lifter.target.counters is not None:
            left = lifter.read_number(ROUNDS)
            done = lifter.read_number(ROUNDS_BEFORE) - left
            count(lifter, lifter.target, self._start, done - last)

    # Rounds that need no verdict

    def plain(self, form: str, guards: dict[int, Guard]) -> None:
        """A form (F or S) without speculation."""
        lifter, block, start = self._lifter, self._block, self._start
        lifter.start(f"{form}{start:x}")
        lifter.forget()
        if lifter.knows_coarse:
            note_coarse(lifter, False)
        self._host.body(block, guards)
        taken = self._host.ends.condition(block)
        left = self._count_down()
        known = lifter.known()
        self._host.ends.convert(start)
        # The slow form may come here with no round that is known to be good.
        more = left.icmp("sgt", 0)
        again = more if taken is None else more & self._back(taken)
        back, out = lifter.labels(2)
        lifter.branch_if(again, back, out)
        lifter.start(back)
        count(lifter, lifter.target, start)
        lifter.branch(f"{form}{start:x}")
        lifter.start(out)
        lifter.resume(known)
        self._go_on(taken)

    def _count_down(self) -> Value:
        """One round less is left of those known to be good."""
        left = self._lifter.read_number(ROUNDS) + -1
        self._lifter.write_number(ROUNDS, left)
        return left

    def _back(self, taken: Value) -> Value:
        """Whether there is another round, from whether the branch is taken."""
        return taken if self._block.successors[0] == self._start else ~taken

    def _go_on(self, taken: Value | None) -> None:
        """Behind the last round that was known to be good: to the head again, or out of the loop."""
        lifter, start = self._lifter, self._start
        head = lifter.label()
        others = [successor for successor in self._block.successors if successor != start]
        if taken is None or not others:
            lifter.branch(head)
        else:
            out = lifter.label()
            lifter.branch_if(self._back(taken), head, out)
            lifter.start(out)
            known = lifter.known()
            self._host.ends.go_to(others[0])
            lifter.resume(known)
        lifter.start(head)
        self._host.ends.convert(start)
        count(lifter, lifter.target, start)
        lifter.branch(f"A{start:x}")

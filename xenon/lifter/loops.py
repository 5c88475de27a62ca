"""Loops of one block: a fast form for as many rounds as are known to touch good pages only, and a slow one.

The fast form makes no check of an address. Where it writes no memory it also speculates (see speculate.py) on
all of these rounds at once: the registers it began with are kept, and where the verdict at the end is bad the
rounds are done again in the slow form, which after that serves some more times without another try. In a loop
that writes memory each round is found right before its first store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xenon.lifter.counting import count
from xenon.lifter.flow import Block, End
from xenon.lifter.guards import Guard, find_addresses
from xenon.lifter.registers import slot_type
from xenon.lifter.side_by_side import SUMS, find_side_by_side
from xenon.lifter.speculate import Speculation, least_slots
from xenon.lifter.streams import Stream, find_streams, safe_rounds
from xenon.powerpc.decode import Instruction

if TYPE_CHECKING:
    from xenon.lifter.unit import Unit

_DISTRUST = 15  # times that the slow form serves after a bad verdict


def is_loop(block: Block) -> bool:
    return block.end is End.BRANCH and block.start in block.successors


def reserve(unit: Unit) -> None:
    """Emit the stack slots that loops need besides registers."""
    lifter = unit.lifter
    lifter.emit("%rounds = alloca i64")
    lifter.emit("%rounds_before = alloca i64")
    lifter.emit("%distrust = alloca i64")
    lifter.emit("store i64 0, ptr %distrust")
    lifter.emit("%bad = alloca i1")
    for slot, kind in least_slots():
        lifter.emit(f"%{slot} = alloca {kind}")
    lifter.emit(f"%{SUMS} = alloca {slot_type(SUMS)}")


class Loop:
    """One loop, on its way into the function at hand."""

    def __init__(self, unit: Unit, block: Block) -> None:
        self._unit = unit
        self._block = block
        self._lifter = unit.lifter
        addresses = find_addresses(block, unit.facts.known[block.start])
        self._guards = addresses.guards
        self._streams: dict[int, Stream] = find_streams(block, self._guards, addresses.steps)
        self._sums = find_side_by_side(block, addresses.places)
        self._unchecked = all(index in self._streams for index in self._guards)
        self._writes = any(one.access and one.access.write for one in block.body)
        last = block.last
        names = frozenset().union(*(one.writes for one in block.body), last.writes if last else ())
        self._changed = tuple(
            slot
            for name in sorted(names)
            for slot in ((f"s{name[1:]}", f"d{name[1:]}") if name[0] == "f" else (name,))
        )
        counts = last is not None and last.mnemonic == "bc" and last.rt & 0b10110 == 0b10000
        self._counted = counts and block.successors[0] == block.start  # bdnz back to the start

    def lift(self) -> None:
        """Emit it, if there is something to be had from a fast form; else as any other block."""
        if not self._streams and not self._unchecked:
            self._unit.plain(self._block, self._guards)
            return
        self._look_ahead()
        if self._unchecked:
            self._speculate()
        else:
            left = {index: guard for index, guard in self._guards.items() if index not in self._streams}
            self._plain_rounds("F", left)
        self._plain_rounds("S", self._guards)

    def _look_ahead(self) -> None:
        """The head: how many rounds are good, and which form is to do them."""
        lifter, start = self._lifter, self._block.start
        lifter.start(f"B{start:x}")
        lifter.forget()
        self._unit.set_facts(self._block)
        self._unit.poll(start, counted=True)
        rounds = safe_rounds(lifter, self._streams)
        if self._counted:
            # At most CTR, which stands for 2^64 where it is 0.
            before = lifter.op(f"add i64 {lifter.get('ctr')}, -1")
            less = lifter.op(f"call i64 @llvm.usub.sat.i64(i64 {rounds}, i64 1)")
            less = lifter.op(f"call i64 @llvm.umin.i64(i64 {less}, i64 {before})")
            some = lifter.op(f"icmp ne i64 {rounds}, 0")
            rounds = lifter.op(f"select i1 {some}, i64 {lifter.op(f'add i64 {less}, 1')}, i64 0")
        lifter.emit(f"store i64 {rounds}, ptr %rounds")
        some = lifter.op(f"icmp ne i64 {rounds}, 0")
        first = f"D{start:x}" if self._unchecked else f"F{start:x}"
        lifter.emit(f"br i1 {some}, label %{first}, label %S{start:x}, !prof !1")
        if not self._unchecked:
            return
        lifter.start(first)
        distrust = lifter.op("load i64, ptr %distrust")
        fine = lifter.op(f"icmp eq i64 {distrust}, 0")
        again = lifter.label()
        lifter.emit(f"br i1 {fine}, label %P{start:x}, label %{again}, !prof !1")
        lifter.start(again)
        lifter.emit(f"store i64 {lifter.op(f'add i64 {distrust}, -1')}, ptr %distrust")
        lifter.emit(f"br label %S{start:x}")

    def _speculate(self) -> None:
        lifter, block, unit, start = self._lifter, self._block, self._unit, self._block.start
        speculation = Speculation(lifter, frozenset((*self._changed, SUMS)), not self._writes)
        lifter.start(f"F{start:x}")
        lifter.forget()
        lifter.speculation = speculation
        if self._writes:
            lifter.pending = {}
        unit.body(block, {}, self._instead)
        if self._writes:
            self._commit()
        else:
            speculation.end_round(lifter.known())
        lifter.speculation = None
        taken = unit.condition(block.last) if block.last else None
        narrow, known = set(lifter.narrow), lifter.known()
        left = self._count()
        unit.convert(start)
        some = lifter.op(f"icmp ne i64 {left}, 0")
        again = some if self._counted or taken is None else lifter.op(f"and i1 {some}, {self._back(taken)}")
        lifter.emit(f"br i1 {again}, label %F{start:x}, label %V{start:x}, !prof !1")
        lifter.start(f"V{start:x}")
        if self._writes:
            self._count_rounds(1)
        else:
            self._restore_unless(speculation)
        lifter.narrow = narrow
        lifter.forget(known)
        if self._sums is not None:
            self._sums.unpack(lifter)
        self._go_on(taken)
        self._prepare(speculation)

    def _instead(self, index: int, one: Instruction) -> bool:
        if one.access is not None and one.access.write:
            self._commit()
        if self._sums is None or index not in self._sums.indices:
            return False
        self._sums.lift(self._lifter, self._block, index)
        return True

    def _commit(self) -> None:
        """Before the first store: is the round right so far? If not, the slow form does it from its start."""
        lifter, speculation = self._lifter, self._lifter.speculation
        if speculation is None or lifter.pending is None:
            return
        good = speculation.round_verdict()
        lifter.speculation = None
        pending, lifter.pending = lifter.pending, None
        if good != "true":
            well, bad = lifter.label(), lifter.label()
            lifter.emit(f"br i1 {good}, label %{well}, label %{bad}, !prof !1")
            lifter.start(bad)
            self._count_rounds(0)
            lifter.emit(f"store i64 {_DISTRUST}, ptr %distrust")
            lifter.emit(f"br label %S{self._block.start:x}")
            lifter.start(well)
        for slot, value in pending.items():
            lifter.emit(f"store {slot_type(slot)} {value}, ptr %{slot}")

    def _prepare(self, speculation: Speculation) -> None:
        """Emitted last, when it is known what the rounds assume: the way into them."""
        lifter, start = self._lifter, self._block.start
        lifter.start(f"P{start:x}")
        lifter.forget()
        if not self._writes:
            for slot in self._changed:
                lifter.emit(f"store {slot_type(slot)} {lifter.get(slot)}, ptr %before_{slot}")
        lifter.emit(f"store i64 {lifter.op('load i64, ptr %rounds')}, ptr %rounds_before")
        if self._sums is not None:
            self._sums.pack(lifter)
        good = speculation.begin()
        lifter.emit(f"br i1 {good}, label %F{start:x}, label %S{start:x}, !prof !1")

    def _restore_unless(self, speculation: Speculation) -> None:
        """The verdict on all rounds; where it is bad, registers are as before and the slow form serves."""
        lifter, start = self._lifter, self._block.start
        well, bad = lifter.label(), lifter.label()
        lifter.forget()
        good = speculation.final_verdict()
        lifter.emit(f"br i1 {good}, label %{well}, label %{bad}, !prof !1")
        lifter.start(bad)
        for slot in self._changed:
            value = lifter.op(f"load {slot_type(slot)}, ptr %before_{slot}")
            lifter.emit(f"store {slot_type(slot)} {value}, ptr %{slot}")
        lifter.emit(f"store i64 {lifter.op('load i64, ptr %rounds_before')}, ptr %rounds")
        lifter.emit(f"store i64 {_DISTRUST}, ptr %distrust")
        lifter.emit(f"br label %S{start:x}")
        lifter.start(well)
        self._count_rounds(1)

    def _count_rounds(self, last: int) -> None:
        """Count the jumps back of the speculative rounds that are done, but for the `last` one's."""
        lifter = self._lifter
        if lifter.counting:
            left = lifter.op("load i64, ptr %rounds")
            done = lifter.op(f"sub i64 {lifter.op('load i64, ptr %rounds_before')}, {left}")
            count(lifter, self._block.start, lifter.op(f"sub i64 {done}, {last}"))

    def _plain_rounds(self, form: str, guards: dict[int, Guard]) -> None:
        """A form whose rounds need no verdict."""
        lifter, block, start = self._lifter, self._block, self._block.start
        lifter.start(f"{form}{start:x}")
        lifter.forget()
        self._unit.body(block, guards)
        taken = self._unit.condition(block.last) if block.last else None
        left = self._count()
        narrow, known = set(lifter.narrow), lifter.known()
        self._unit.convert(start)
        # The slow form may come here with no round that is known to be good.
        some = lifter.op(f"icmp sgt i64 {left}, 0")
        again = some if taken is None else lifter.op(f"and i1 {some}, {self._back(taken)}")
        back, out = lifter.label(), lifter.label()
        lifter.emit(f"br i1 {again}, label %{back}, label %{out}")
        lifter.start(back)
        if lifter.counting:
            count(lifter, start)
        lifter.emit(f"br label %{form}{start:x}")
        lifter.start(out)
        lifter.narrow = narrow
        lifter.forget(known)
        self._go_on(taken)

    def _count(self) -> str:
        left = self._lifter.op(f"add i64 {self._lifter.op('load i64, ptr %rounds')}, -1")
        self._lifter.emit(f"store i64 {left}, ptr %rounds")
        return left

    def _back(self, taken: str) -> str:
        """Whether there is another round, from whether the branch is taken."""
        if self._block.successors[0] == self._block.start:
            return taken
        return self._lifter.op(f"xor i1 {taken}, true")

    def _go_on(self, taken: str | None) -> None:
        """Behind the last round that was known to be good: to the head again, or out of the loop."""
        lifter, start = self._lifter, self._block.start
        head = lifter.label()
        others = [one for one in self._block.successors if one != start]
        if taken is None or not others:
            lifter.emit(f"br label %{head}")
        else:
            out = lifter.label()
            lifter.emit(f"br i1 {self._back(taken)}, label %{head}, label %{out}")
            lifter.start(out)
            narrow, known = set(lifter.narrow), lifter.known()
            self._unit.go_to(others[0])
            lifter.narrow = narrow
            lifter.forget(known)
        lifter.start(head)
        self._unit.convert(start)
        lifter.emit(f"br label %{self._unit.jump}{start:x}")

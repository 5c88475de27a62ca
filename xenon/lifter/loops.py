"""Loops of one block: a fast form for as many rounds as are known to touch good pages only, and a slow one.

The fast form makes no check of an address. Where it writes no memory it also speculates (see speculate.py) on
all of these rounds at once: the registers it began with are kept, and where the verdict at the end is bad the
rounds are done again in the slow form, which after that serves some more times without another try. In a loop
that writes memory each round is found before its stores, which wait for the end of the round where nothing
is read behind the first of them.

LLVM blocks: B the head, which looks ahead; A the head for what is left when the good rounds are over, and L
its closer look; Q and N, behind B and L, which note where the fast form will store and choose by distrust; F
and S the rounds of the fast and the slow form; and with speculation PQ and PN, which prepare the rounds, and
V, the verdict behind them. From B on, LLVM often knows what registers hold: sums that begin with zero. Where
what the loop loads may be remembered (remembered.py), R chooses between F and the forms G0, G1, which need
not look at some of it, and W0, W1 are the verdicts behind those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from xenon.lifter.counting import count
from xenon.lifter.emitter import LIKELY
from xenon.lifter.flow import Block, End
from xenon.lifter.guards import Addresses, Guard, writes_memory
from xenon.lifter.half_sums import find_half_sums
from xenon.lifter.ir_types import BIT, I64
from xenon.lifter.lift import Lifter
from xenon.lifter.remembered import Memory, remember, repeated
from xenon.lifter.rows_together import find_rows_together
from xenon.lifter.side_by_side import find_side_by_side
from xenon.lifter.slots import CTR, MOST_WIDE, slots_of, wide
from xenon.lifter.speculate import BAD, Speculation, least_slots
from xenon.lifter.streams import (
    Placed,
    branch_unless_all_good,
    find_followed,
    find_placed,
    find_streams,
    first_address,
    note_stores_ahead,
    safe_rounds,
)
from xenon.lifter.unpacked import find_unpacked
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction

_DISTRUST = 15  # times that the slow form serves after a bad verdict
_ROUNDS, _ROUNDS_BEFORE, _DISTRUST_LEFT = "rounds", "rounds_before", "distrust"  # stack slots of an i64
_AGAIN = "again"  # of an i1: whether the rounds under way go on where earlier ones ended


class LoopHost(Protocol):
    """What a loop asks of the function that it is part of; see unit.py."""

    lifter: Lifter

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

    def condition(self, block: Block) -> Value | None:
        """Emit whether the branch is taken; None where it always is."""

    def poll(self, successor: int, counted: bool = False) -> None:
        """Emit a way out for a CPU that is to stop."""

    def convert(self, successor: int) -> None:
        """Bring FPRs into the form that a successor expects."""

    def go_to(self, successor: int) -> None:
        """Convert and branch to another block."""

    def jump(self, successor: int) -> None:
        """Branch to a block, which is counted."""


def is_loop(block: Block) -> bool:
    """Whether a block branches to itself."""
    return block.end is End.BRANCH and block.start in block.successors


def reserve(lifter: Lifter) -> None:
    """Emit the stack slots that loops need besides registers."""
    lifter.alloca(_ROUNDS, I64)
    lifter.alloca(_ROUNDS_BEFORE, I64)
    lifter.alloca(_DISTRUST_LEFT, I64)
    _write(lifter, _DISTRUST_LEFT, lifter.constant(I64, 0))
    lifter.alloca(BAD, BIT)
    lifter.alloca(_AGAIN, BIT)
    for name, type in least_slots():
        lifter.alloca(name, type)
    for number in range(MOST_WIDE):
        for registers in (1, 2, 4):
            slot = wide(number, registers)
            lifter.alloca(slot.name, slot.type)


def _read(lifter: Lifter, name: str) -> Value:
    return lifter.read(I64, lifter.named(name))


def _write(lifter: Lifter, name: str, value: Value) -> None:
    lifter.write(value, lifter.named(name))


class Loop:
    """One loop, on its way into the function of its host."""

    def __init__(self, host: LoopHost, block: Block, addresses: Addresses) -> None:
        self._host = host
        self._block = block
        self._start = block.start
        self._lifter = host.lifter
        self._guards = addresses.guards
        self._streams = find_streams(self._guards, addresses.steps)
        self._sums = (
            find_side_by_side(block, addresses.places)
            or find_unpacked(block, addresses.places)
            or (find_half_sums(block, addresses.places) if host.lifter.target.halves else None)
            or find_rows_together(block, addresses.places)
        )
        self._unchecked = all(index in self._streams for index in self._guards)
        self._followed = find_followed(addresses, self._streams.values())
        self._placed = find_placed(addresses) if self._unchecked else {}
        accesses = [instruction for instruction in block.body if instruction.access is not None]
        writes = [writes_memory(instruction) for instruction in accesses]
        self._writes = any(writes)
        self._may_retreat = self._unchecked and not self._writes
        self._writes_last = self._writes and all(writes[writes.index(True) :])  # of its accesses
        names = frozenset().union(*(instruction.writes for instruction in block.instructions))
        self._changed = tuple(slot for name in sorted(names) for slot in slots_of(name))
        last = block.last
        counts = last is not None and last.mnemonic == "bc" and last.rt & 0b10110 == 0b10000
        self._counted = counts and block.successors[0] == block.start  # bdnz back to the start
        ways = self._sums.repeated_rows() if self._sums is not None and self._may_retreat else []
        self._repeated = [(tuple(rows), streams) for rows in ways if (streams := repeated(rows, addresses))]
        self._memories: list[Memory] = []

    @property
    def is_wide(self) -> bool:
        """Whether it has sums of several registers as one value."""
        return self._sums is not None

    @property
    def remembers(self) -> bool:
        """Whether it remembers what some of its streams held."""
        return bool(self._repeated)

    def reserve(self) -> None:
        """Emit the stack slots of where addresses are in their lines, and of what the loop remembers."""
        for place in dict.fromkeys(self._placed.values()):
            self._lifter.alloca(self._behind(place), I64)
        self._memories = [
            Memory(self._lifter, f"{self._start:x}_{number}", streams)
            for number, (_, streams) in enumerate(self._repeated)
        ]

    def _behind(self, place: Placed) -> str:
        return "_".join(map(str, ("behind", f"{self._start:x}", *place.registers, place.offset)))

    def lift(self) -> None:
        """Emit it, if there is something to be had from a fast form; else as any other block."""
        if not self._streams and not self._unchecked:
            self._host.plain(self._block, self._guards)
            return
        self._look_ahead()
        if self._unchecked:
            self._speculate()
        else:
            left = {index: guard for index, guard in self._guards.items() if index not in self._streams}
            self._plain_rounds("F", left)
        self._plain_rounds("S", self._guards)

    def _look_ahead(self) -> None:
        """The heads: how many rounds are good, and which form is to do them."""
        lifter, start = self._lifter, self._start
        lifter.start(f"B{start:x}")
        lifter.forget()
        self._host.begin(self._block)
        if self._may_retreat:
            for slot in self._changed:
                lifter.write(lifter.get(slot), lifter.named(f"first_{slot.name}"))
        if self._counted and self._streams:
            all_good = branch_unless_all_good(lifter, self._streams.values(), lifter.get(CTR), f"L{start:x}")
            _write(lifter, _ROUNDS, lifter.get(CTR))
            lifter.branch_if(all_good, f"Q{start:x}", f"L{start:x}", LIKELY)
            self._note_and_trust("Q")
        else:
            lifter.branch(f"L{start:x}")
        lifter.start(f"A{start:x}")
        lifter.forget()
        self._host.begin(self._block)
        self._host.poll(start, counted=True)
        lifter.branch(f"L{start:x}")
        lifter.start(f"L{start:x}")
        lifter.forget()
        rounds = safe_rounds(lifter, self._streams.values())
        if self._counted:
            # At most CTR, which stands for 2^64 where it is 0.
            before = lifter.get(CTR) + -1
            less = rounds.intrinsic("usub.sat", 1).intrinsic("umin", before)
            rounds = rounds.icmp("ne", 0).select(less + 1, 0)
        _write(lifter, _ROUNDS, rounds)
        lifter.branch_if(rounds.icmp("ne", 0), f"N{start:x}", f"S{start:x}", LIKELY)
        self._note_and_trust("N")

    def _note_and_trust(self, head: str) -> None:
        """The block `head`, N or Q: note where the rounds store, and choose the form by distrust."""
        lifter, start = self._lifter, self._start
        lifter.start(f"{head}{start:x}")
        lifter.forget()
        note_stores_ahead(lifter, self._streams.values(), _read(lifter, _ROUNDS))
        if not self._unchecked:
            lifter.branch(f"F{start:x}")
            return
        distrust = _read(lifter, _DISTRUST_LEFT)
        trusted = distrust.icmp("eq", 0)
        again = lifter.label()
        lifter.branch_if(trusted, f"P{head}{start:x}", again, LIKELY)
        lifter.start(again)
        _write(lifter, _DISTRUST_LEFT, distrust + -1)
        lifter.branch(f"S{start:x}")

    # The fast form, with speculation

    def _speculate(self) -> None:
        speculations = [self._fast_rounds("F", "V")]
        for number, (rows, _) in enumerate(self._repeated):
            speculations.append(self._fast_rounds(f"G{number}_", f"W{number}_", rows))
        if self._counted and self._streams:
            self._prepare("Q", speculations)
        self._prepare("N", speculations)
        if self._memories:
            self._choose_by_memory()

    def _fast_rounds(
        self, form: str, verdict: str, known_rows: tuple[tuple[int, ...], ...] = ()
    ) -> Speculation:
        """A form and the verdict behind it. `known_rows` are loads that are known to be factors."""
        lifter, block, host, start = self._lifter, self._block, self._host, self._start
        wide_slots = self._sums.slots if self._sums is not None else ()
        speculation = Speculation(lifter, frozenset((*self._changed, *wide_slots)), not self._writes)
        if self._sums is not None:
            self._sums.begin(known_rows)
        lifter.start(f"{form}{start:x}")
        lifter.forget()
        lifter.speculate(speculation, defer=self._writes)
        if self._writes_last:
            lifter.hold_stores()
        host.body(block, {}, self._instead)
        lifter.behind_line = None
        if self._writes:
            self._commit()
            lifter.make_stores()
        else:
            speculation.end_round(lifter.known().values)
            lifter.end_speculation()
        taken = host.condition(block)
        known = lifter.known()
        left = self._count_down()
        host.convert(start)
        more = left.icmp("ne", 0)
        again = more if self._counted or taken is None else more & self._back(taken)
        lifter.branch_if(again, f"{form}{start:x}", f"{verdict}{start:x}", LIKELY)
        lifter.start(f"{verdict}{start:x}")
        if self._writes:
            self._count_rounds(1)
        else:
            self._restore_unless(speculation)
        if not known_rows:
            remember(lifter, self._memories, _read(lifter, _ROUNDS_BEFORE) - _read(lifter, _ROUNDS))
        lifter.resume(known)
        if self._sums is not None:
            self._sums.unpack(lifter)
        self._go_on(taken)
        return speculation

    def _instead(self, index: int, instruction: Instruction) -> bool:
        """Of an instruction of the body: commit before the first store, unless stores wait, and emit those of
        the four sums."""
        if writes_memory(instruction) and not self._writes_last:
            self._commit()
        if index in self._followed:
            return True
        place = self._placed.get(index)
        self._lifter.behind_line = None if place is None else _read(self._lifter, self._behind(place))
        if self._sums is None or index not in self._sums.indices:
            return False
        return self._sums.lift(self._lifter, self._block, index)

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
        _write(self._lifter, _DISTRUST_LEFT, self._lifter.constant(I64, _DISTRUST))
        self._lifter.branch(f"S{self._start:x}")

    def _prepare(self, head: str, speculations: Sequence[Speculation]) -> None:
        """Emitted last, when it is known what the rounds assume: the way into them from N or Q."""
        lifter, start = self._lifter, self._start
        lifter.start(f"P{head}{start:x}")
        lifter.forget()
        if self._may_retreat:
            lifter.write(lifter.constant(BIT, head == "N"), lifter.named(_AGAIN))
        if self._may_retreat and head == "N":
            for slot in self._changed:
                lifter.write(lifter.get(slot), lifter.named(f"before_{slot.name}"))
        _write(lifter, _ROUNDS_BEFORE, _read(lifter, _ROUNDS))
        for place in dict.fromkeys(self._placed.values()):
            _write(lifter, self._behind(place), first_address(lifter, place.registers, place.offset) & 15)
        if self._sums is not None:
            self._sums.pack(lifter)
        assumed = self._sums.assumed(lifter.get) if self._sums is not None else []
        begun = [speculation.begin(lifter.get) for speculation in speculations]
        good = lifter.all_of([*begun, *assumed])
        first = f"{'R' if self._memories else 'F'}{start:x}"
        lifter.branch_if(good, first, f"S{start:x}", LIKELY)

    def _choose_by_memory(self) -> None:
        """The block R: which of the fast forms."""
        lifter, start = self._lifter, self._start
        lifter.start(f"R{start:x}")
        lifter.forget()
        for number, (memory, (_, streams)) in enumerate(zip(self._memories, self._repeated, strict=True)):
            look, other = lifter.labels(2)
            lifter.branch_if(memory.still_tries(), look, other)
            lifter.start(look)
            lifter.forget()
            firsts = [first_address(lifter, stream.registers, stream.offset) & -16 for stream in streams]
            known = memory.knows(firsts, _read(lifter, _ROUNDS))
            lifter.branch_if(known, f"G{number}_{start:x}", f"F{start:x}")
            lifter.start(other)
        lifter.branch(f"F{start:x}")

    def _restore_unless(self, speculation: Speculation) -> None:
        """The verdict on all rounds; where it is bad, registers are as before and the slow form serves."""
        lifter = self._lifter
        well, bad = lifter.labels(2)
        lifter.forget()
        lifter.branch_if(speculation.final_verdict(lifter.get), well, bad, LIKELY)
        lifter.start(bad)
        again, first, restored = lifter.labels(3)
        lifter.branch_if(lifter.read(BIT, lifter.named(_AGAIN)), again, first)
        for label, prefix in ((again, "before"), (first, "first")):
            lifter.start(label)
            for slot in self._changed:
                lifter.store_slot(slot, lifter.read(slot.type, lifter.named(f"{prefix}_{slot.name}")))
            lifter.branch(restored)
        lifter.start(restored)
        _write(lifter, _ROUNDS, _read(lifter, _ROUNDS_BEFORE))
        self._distrust()
        lifter.start(well)
        self._count_rounds(1)

    def _count_rounds(self, last: int) -> None:
        """Count the jumps back of the speculative rounds that are done, but for the `last` one's."""
        lifter = self._lifter
        if lifter.target.counters is not None:
            left = _read(lifter, _ROUNDS)
            done = _read(lifter, _ROUNDS_BEFORE) - left
            count(lifter, lifter.target, self._start, done - last)

    # Rounds that need no verdict

    def _plain_rounds(self, form: str, guards: dict[int, Guard]) -> None:
        """A form (F or S) without speculation."""
        lifter, block, start = self._lifter, self._block, self._start
        lifter.start(f"{form}{start:x}")
        lifter.forget()
        self._host.body(block, guards)
        taken = self._host.condition(block)
        left = self._count_down()
        known = lifter.known()
        self._host.convert(start)
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
        left = _read(self._lifter, _ROUNDS) + -1
        _write(self._lifter, _ROUNDS, left)
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
            self._host.go_to(others[0])
            lifter.resume(known)
        lifter.start(head)
        self._host.convert(start)
        count(lifter, lifter.target, start)
        lifter.branch(f"A{start:x}")

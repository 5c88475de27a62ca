"""Loops of one block: a fast form for as many rounds as are known to touch good pages only, and a slow one.

Here are the heads of a loop, which look ahead how many rounds are good and choose their form; the forms are
in loop_rounds.py.

LLVM blocks: B the head, which looks ahead; A the head for what is left when the good rounds are over, and L
its closer look; Q and N, behind B and L, which note where the fast form will store and choose by distrust;
and with speculation PQ and PN, which prepare the rounds. From B on, LLVM often knows what registers hold:
sums that begin with zero. Where what the loop loads may be remembered (remembered.py), R chooses between F
and the forms G0, G1.
"""

from __future__ import annotations

from collections.abc import Sequence

from xenon.lifter.emitter import LIKELY
from xenon.lifter.flow import Block
from xenon.lifter.guards import Addresses
from xenon.lifter.ir_types import BIT, I64
from xenon.lifter.loop_facts import LoopFacts
from xenon.lifter.loop_host import LoopHost
from xenon.lifter.loop_rounds import Rounds
from xenon.lifter.loop_slots import (
    AGAIN,
    DISTRUST_LEFT,
    ROUGH_LEFT,
    ROUNDS,
    ROUNDS_BEFORE,
    behind_slot,
)
from xenon.lifter.remembered import Memory
from xenon.lifter.slots import CTR
from xenon.lifter.speculate import Speculation
from xenon.lifter.streams import branch_unless_all_good, first_address, note_stores_ahead, safe_rounds
from xenon.lifter.values import Value


class Loop:
    """One loop, on its way into the function of its host."""

    def __init__(self, host: LoopHost, block: Block, addresses: Addresses) -> None:
        self._host = host
        self._facts = LoopFacts(block, addresses, host.lifter.target)
        self._block = block
        self._start = block.start
        self._lifter = host.lifter
        self._memories: list[Memory] = []

    @property
    def is_wide(self) -> bool:
        """Whether it has sums of several registers as one value."""
        return self._facts.sums is not None

    @property
    def speculates(self) -> bool:
        """Whether its fast rounds speculate on what they compute, all at once."""
        return self._facts.may_retreat

    @property
    def remembers(self) -> bool:
        """Whether it remembers what some of its streams held."""
        return bool(self._facts.repeated)

    def reserve(self, memories: dict[tuple[int, ...], Memory]) -> None:
        """Emit the stack slots of where addresses are in their lines, and of what the loop remembers if none
        of `memories` will do: loops over the same vectors remember together."""
        for place in dict.fromkeys(self._facts.placed.values()):
            self._lifter.alloca(behind_slot(self._start, place), I64)
        for number, (_, streams) in enumerate(self._facts.repeated):
            alike = (number, *(stream.step for stream in streams))
            if alike not in memories:
                memories[alike] = Memory(self._lifter, "_".join(map(str, alike)), streams)
            self._memories.append(memories[alike])

    def lift(self) -> None:
        """Emit it, if there is something to be had from a fast form; else as any other block."""
        if not self._facts.streams and not self._facts.unchecked:
            self._host.plain(self._block, self._facts.guards)
            return
        rounds = Rounds(self._host, self._facts, self._memories)
        self._look_ahead()
        if self._facts.unchecked:
            self._speculate(rounds)
        else:
            left = {
                index: guard
                for index, guard in self._facts.guards.items()
                if index not in self._facts.streams
            }
            rounds.plain("F", left)
        rounds.plain("S", self._facts.guards)

    def _look_ahead(self) -> None:
        """The heads: how many rounds are good, and which form is to do them."""
        lifter, start = self._lifter, self._start
        lifter.start(f"B{start:x}")
        lifter.forget()
        self._host.begin(self._block)
        if self._facts.may_retreat:
            for slot in self._facts.changed:
                lifter.write(lifter.get(slot), lifter.named(f"first_{slot.name}"))
        if self._facts.counted and self._facts.streams:
            all_good = branch_unless_all_good(
                lifter, self._facts.streams.values(), lifter.get(CTR), f"L{start:x}"
            )
            lifter.write_number(ROUNDS, lifter.get(CTR))
            lifter.branch_if(all_good, f"Q{start:x}", f"L{start:x}", LIKELY)
            self._note_and_trust("Q")
        else:
            lifter.branch(f"L{start:x}")
        lifter.start(f"A{start:x}")
        lifter.forget()
        self._host.begin(self._block)
        self._host.ends.poll(start, counted=True)
        lifter.branch(f"L{start:x}")
        lifter.start(f"L{start:x}")
        lifter.forget()
        rounds = safe_rounds(lifter, self._facts.streams.values())
        if self._facts.counted:
            # At most CTR, which stands for 2^64 where it is 0.
            before = lifter.get(CTR) + -1
            less = rounds.intrinsic("usub.sat", 1).intrinsic("umin", before)
            rounds = rounds.icmp("ne", 0).select(less + 1, 0)
        lifter.write_number(ROUNDS, rounds)
        lifter.branch_if(rounds.icmp("ne", 0), f"N{start:x}", f"S{start:x}", LIKELY)
        self._note_and_trust("N")

    def _note_and_trust(self, head: str) -> None:
        """The block `head`, N or Q: note where the rounds store, and choose the form by distrust."""
        lifter, start = self._lifter, self._start
        lifter.start(f"{head}{start:x}")
        lifter.forget()
        note_stores_ahead(lifter, self._facts.streams.values(), lifter.read_number(ROUNDS))
        if not self._facts.unchecked:
            lifter.branch(f"F{start:x}")
            return
        distrust = lifter.read_number(DISTRUST_LEFT)
        trusted = distrust.icmp("eq", 0)
        again = lifter.label()
        lifter.branch_if(trusted, f"P{head}{start:x}", again, LIKELY)
        lifter.start(again)
        lifter.write_number(DISTRUST_LEFT, distrust + -1)
        lifter.branch(f"S{start:x}")

    # The fast form, with speculation

    def _speculate(self, rounds: Rounds) -> None:
        speculations = [rounds.fast("F", "V")]
        for number, (rows, _) in enumerate(self._facts.repeated):
            speculations.append(rounds.fast(f"G{number}_", f"W{number}_", rows))
        if self._facts.counted and self._facts.streams:
            self._prepare("Q", speculations)
        self._prepare("N", speculations)
        if self._memories:
            self._choose_by_memory()

    def _prepare(self, head: str, speculations: Sequence[Speculation]) -> None:
        """Emitted last, when it is known what the rounds assume: the way into them from N or Q."""
        lifter, start = self._lifter, self._start
        lifter.start(f"P{head}{start:x}")
        lifter.forget()
        if self._facts.may_retreat:
            lifter.write(lifter.constant(BIT, head == "N"), lifter.named(AGAIN))
        if self._facts.may_retreat and head == "N":
            for slot in self._facts.changed:
                lifter.write(lifter.get(slot), lifter.named(f"before_{slot.name}"))
        lifter.write_number(ROUNDS_BEFORE, lifter.read_number(ROUNDS))
        for place in dict.fromkeys(self._facts.placed.values()):
            lifter.write_number(
                behind_slot(self._start, place),
                first_address(lifter, place.registers, place.offset) & 15,
            )
        if self._facts.sums is not None:
            self._facts.sums.pack(lifter)
        assumed = self._facts.sums.assumed(lifter.get) if self._facts.sums is not None else []
        begun = [speculation.begin(lifter.get) for speculation in speculations]
        good = lifter.all_of([*begun, *assumed])
        first = f"{'R' if self._memories else 'F'}{start:x}"
        lifter.branch_if(good, first, f"S{start:x}", LIKELY)

    def _choose_by_memory(self) -> None:
        """The block R: which of the fast forms."""
        lifter, start = self._lifter, self._start
        lifter.start(f"R{start:x}")
        lifter.forget()
        for number, (memory, (_, streams)) in enumerate(
            zip(self._memories, self._facts.repeated, strict=True)
        ):
            look, other = lifter.labels(2)
            lifter.branch_if(memory.still_tries(), look, other)
            lifter.start(look)
            lifter.forget()
            firsts = [first_address(lifter, stream.registers, stream.offset) & -16 for stream in streams]
            known = memory.knows(firsts, lifter.read_number(ROUNDS))
            self._unless_rough_failed(known, f"G{number}_{start:x}")
            lifter.start(other)
        lifter.branch(f"F{start:x}")

    def _unless_rough_failed(self, known: Value, form: str) -> None:
        """To a form with a rough look where there may be one, unless that went wrong a short time ago."""
        lifter, close = self._lifter, f"F{self._start:x}"
        at_all, less = lifter.labels(2)
        lifter.branch_if(known, at_all, close)
        lifter.start(at_all)
        left = lifter.read_number(ROUGH_LEFT)
        lifter.branch_if(left.icmp("eq", 0), form, less, LIKELY)
        lifter.start(less)
        lifter.write_number(ROUGH_LEFT, left + -1)
        lifter.branch(close)

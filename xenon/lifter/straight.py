"""Floating-point code outside of loops: a fast form that looks once whether all went well, and an exact one.

The fast form changes nothing before it has looked: what it writes to registers is held back, and it ends
before a store. Where a number was unusual, or an address not good, the exact form does the same instructions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from xenon.lifter import rules_synchronization
from xenon.lifter.emitter import LIKELY
from xenon.lifter.flow import Block
from xenon.lifter.guards import stands_alone, writes_memory
from xenon.lifter.lift import Lifter
from xenon.lifter.speculate import Speculation
from xenon.powerpc.decode import Instruction

_BARRIERS = frozenset(("dcbst", "dcbf", *rules_synchronization.RULES))
_ARITHMETIC = frozenset(
    "vaddfp vsubfp vmaddfp vnmsubfp vmulfp vmaddcfp "
    "fadds fsubs fmuls fdivs fmadds fmsubs fnmadds fnmsubs".split()
)
_LEAST_ARITHMETIC = 3  # instructions that are worth two forms


def straight_runs(block: Block) -> Iterator[range]:
    """The instructions of a block's body, in runs that write no memory, and those in between."""
    first = 0
    for index, instruction in enumerate(block.body):
        if writes_memory(instruction) or stands_alone(instruction) or instruction.mnemonic in _BARRIERS:
            yield range(first, index)
            yield range(index, index + 1)
            first = index + 1
    yield range(first, len(block.body))


def is_worth_two_forms(instructions: Sequence[Instruction]) -> bool:
    """Whether there is enough arithmetic in a run."""
    return sum(instruction.general_name in _ARITHMETIC for instruction in instructions) >= _LEAST_ARITHMETIC


def lift_twice(lifter: Lifter, lift: Callable[[], None]) -> None:
    """Emit both forms of what `lift` emits, which must write no memory."""
    exact, well, join = lifter.labels(3)
    before = lifter.known()
    speculation = Speculation(lifter, frozenset(), over_rounds=False, retreat=exact)
    lifter.speculate(speculation, defer=True)
    lift()
    good = speculation.round_verdict()
    deferred = lifter.end_speculation()
    lifter.branch_if(good, well, exact, LIKELY)
    lifter.start(well)
    for slot, value in deferred.items():
        lifter.store_slot(slot, value)
    lifter.branch(join)
    lifter.start(exact)
    lifter.resume(before)
    lift()
    lifter.branch(join)
    lifter.start(join)
    lifter.forget()

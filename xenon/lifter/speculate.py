"""Rounds of a loop run as if no unusual number turned up, and how that is found out afterwards.

Two things may go wrong with a floating-point result on the host. It is NaN, and then PowerPC might have
another one; but NaN operands make NaN results, so that it is enough to look at the last results of a chain,
and at a running sum only when the loop ends. Or, in the vector unit, it is so small that it must be flushed.
That is ruled out by its operands: where each factor is zero or at least 2^-40, products are multiples of
2^-126; so are their sums, rounded, with a summand that is zero or at least 2^-103; and such a number is no
denormal.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from xenon.lifter.emitter import Emitter
from xenon.lifter.ir_types import BIT, I32, WORDS_4, Type, vector
from xenon.lifter.slots import Slot
from xenon.lifter.values import Value

_WORDS = (WORDS_4, vector(8, I32), vector(16, I32))
BAD = "bad"
"""The stack slot of an i1: some round went wrong."""


class Grain(IntEnum):
    """Every lane is zero, infinite, NaN or at least 2 to the power of minus ...; the value is a biased
    exponent, so that a higher one promises more."""

    NORMAL = 0  # or whatever is not denormal
    MULTIPLE = 1  # or a multiple of 2^-126: no denormal
    FACTOR = 127 - 40  # or a multiple of 2^-63
    INTEGER = 127  # and an integer


_ROUGH = 0x30 << 24
"""Bits that every number of at least 2^-31 and less than 2 has, and no number that is less than 2^-31."""

_LEAST = {Grain.NORMAL: 2, Grain.MULTIPLE: 127 - 103, Grain.FACTOR: Grain.FACTOR}  # what a check asks for

Read = Callable[[Slot], Value]


def least_slots() -> list[tuple[str, Type]]:
    """The stack slots that keep the least lanes or the bits that all have, and their types."""
    least = [(_least_slot(grain, type), type) for grain in Grain for type in _WORDS]
    return least + [(_common_slot(type), type) for type in _WORDS]


def _least_slot(grain: Grain, type: Type) -> str:
    return f"least{int(grain)}_{type.lanes}"


def _common_slot(type: Type) -> str:
    return f"common_{type.lanes}"


class Speculation:
    """Collects the conditions under which a loop body's results are correct.

    With `over_rounds` they are tested once, when the loop exits or checks its pages again; otherwise in each
    round. `changed` are the slots that the body writes. `retreat`, of instructions that are no loop, is the
    label where they are done again: no operand is assumed to have a grain. A `rough` look at factors, over
    all rounds, takes a third of the time, but only those between 2^-31 and 2 pass it for certain: what all of
    them have in common tells.
    """

    def __init__(
        self,
        emitter: Emitter,
        changed: frozenset[Slot],
        over_rounds: bool,
        retreat: str | None = None,
        rough: bool = False,
    ) -> None:
        self.retreat = retreat
        self._emitter = emitter
        self._changed = changed
        self._over_rounds = over_rounds
        self._rough = rough
        self._roots: dict[Value, Value] = {}  # a value to another with the same bits or the same kind of NaN
        self._sources: dict[Value, tuple[Value, ...]] = {}  # words to those that their lanes come from
        self._initial: dict[Value, Slot] = {}  # values that slots had at the start of the round
        self._operands: dict[Value, frozenset[Value]] = {}  # of each result, all that came before
        self._ends: list[Value] = []  # results that no other result follows from
        self._conditions: list[Value] = []
        self._grains: dict[Value, Grain] = {}
        self._least: dict[tuple[Grain, Type], Value] = {}
        self._common: dict[Type, Value] = {}  # the bits that all factors have, where the look is rough
        self._assumed: dict[Slot, Grain] = {}  # before the first round
        self._sticky: dict[Slot, Type] = {}  # slots to look at behind the last round

    # While the body is lifted

    def start_with(self, slot: Slot, value: Value) -> None:
        """The body read this slot for the first time."""
        self._initial[value] = slot

    def same(self, value: Value, source: Value) -> None:
        """`value` is NaN where `source` is; it has the same lanes, or another sign."""
        self._roots[value] = self._root(source)

    def picked(self, words: Value, sources: tuple[Value, ...]) -> None:
        """Each lane of these words is one of the sources'."""
        self._sources[words] = sources

    def _root(self, value: Value) -> Value:
        return self._roots.get(value, value)

    def require(self, condition: Value) -> None:
        """An i1 must be true."""
        self._conditions.append(condition)

    def number(self, result: Value, operands: list[Value]) -> None:
        """A result must be no NaN; it is one where an operand is."""
        roots = [self._root(operand) for operand in operands]
        before = frozenset(roots).union(*(self._operands.get(root, ()) for root in roots))
        self._operands[result] = before
        self._ends = [*(end for end in self._ends if end not in before), result]

    def promise(self, value: Value, grain: Grain) -> None:
        """A value is known to have this grain."""
        self._grains[self._root(value)] = grain

    def need(self, words: Value, grain: Grain) -> None:
        """A vector of words must have this grain."""
        root = self._root(words)
        if root == words.like(0) or self._grains.get(root, 0) >= grain:
            return
        slot = self._initial.get(root)
        if root in self._sources:
            for source in self._sources[root]:
                self.need(source, grain)
        elif slot is not None and (self._over_rounds or slot not in self._changed):
            self._assumed[slot] = max(grain, self._assumed.get(slot, grain))
        else:
            self._keep_least(words, grain)
        self._grains[root] = grain

    def need_of_sum(self, factors: tuple[Value, Value], addend: Value) -> Grain:
        """Words of two factors and an addend must have the grains that keep their sum right; the sum's.

        An integer times a multiple of 2^-63 is another, and so is its sum with one, rounded.
        """
        for words in factors:
            self.need(words, Grain.FACTOR)
        root = self._root(addend)
        slot = self._initial.get(root)
        runs = slot is not None and slot in self._changed  # a running sum, which grows from round to round
        known = self._grains.get(root, Grain.INTEGER)
        whole = any(self._grains.get(self._root(words)) == Grain.INTEGER for words in factors)
        grain = Grain.FACTOR if whole and not runs and known >= Grain.FACTOR else Grain.MULTIPLE
        self.need(addend, grain)
        return grain

    def _keep_least(self, words: Value, grain: Grain) -> None:
        """Keep the least of all lanes in question: doubled, so that the sign is gone, and one less, so that
        zero is the greatest."""
        type = words.type
        if self._rough and grain is Grain.FACTOR:
            common = self._common.get(type)
            if common is None:
                common = self._emitter.read(type, self._emitter.named(_common_slot(type)))
            self._common[type] = common & words
            return
        turned = _turned(words)
        least = self._least.get((grain, type))
        if least is None and self._over_rounds:
            least = self._emitter.read(type, self._emitter.named(_least_slot(grain, type)))
        self._least[grain, type] = turned if least is None else least.intrinsic("umin", turned)

    def not_tiny(self, words: Value) -> None:
        """No lane of a result may be 2^-126 or less, but for zeros."""
        self._keep_least(words, Grain.NORMAL)

    # Behind the body

    def end_round(self, final: dict[Slot, Value]) -> None:
        """Note what each round adds to the verdict; `final` are the values of slots at its end."""
        emitter = self._emitter
        first = {slot: value for value, slot in self._initial.items()}
        for slot, grain in self._assumed.items():
            value = self._root(final[slot]) if slot in final else None
            grown = self._grains.get(value, 0) if value is not None else 0
            if slot in self._changed and value != first[slot] and grown < grain:
                self._keep_least(first[slot], grain)
        every_round = []
        for end in self._ends:
            holder = next((slot for slot, value in final.items() if self._root(value) == end), None)
            if holder is not None and first.get(holder) in self._operands[end]:
                self._sticky[holder] = end.type
            else:
                every_round.append(end)
        bad = [~end.is_number() for end in every_round]
        bad += [~condition for condition in self._conditions]
        if bad:
            some_bad = emitter.read(BIT, emitter.named(BAD))
            for flag in bad:
                some_bad = some_bad | flag
            emitter.write(some_bad, emitter.named(BAD))
        for (grain, type), least in self._least.items():
            emitter.write(least, emitter.named(_least_slot(grain, type)))
        for type, common in self._common.items():
            emitter.write(common, emitter.named(_common_slot(type)))

    def round_verdict(self) -> Value:
        """An i1: this round's results so far are right. The constant true where nothing was in doubt."""
        terms = [end.is_number() for end in self._ends]
        terms += self._conditions
        terms += [_all_at_least(least, grain) for (grain, _), least in self._least.items()]
        return self._emitter.all_of(terms)

    def begin(self, read: Read) -> Value:
        """Before the first round: nothing is wrong yet. An i1: what was assumed holds."""
        emitter = self._emitter
        emitter.write(emitter.constant(BIT, False), emitter.named(BAD))
        for name, type in least_slots():
            emitter.write(emitter.constant(type, -1), emitter.named(name))
        terms = [_all_at_least(_turned(read(slot)), grain) for slot, grain in self._assumed.items()]
        return emitter.all_of(terms)

    def final_verdict(self, read: Read) -> Value:
        """Behind the last round, an i1: the results of all of them are right."""
        emitter = self._emitter
        terms = []
        for slot, type in self._sticky.items():
            value = read(slot)
            terms.append((value if value.type == type else value.bitcast(type)).is_number())
        terms.append(~emitter.read(BIT, emitter.named(BAD)))
        for grain, type in self._least:
            terms.append(_all_at_least(emitter.read(type, emitter.named(_least_slot(grain, type))), grain))
        for type in self._common:
            common = emitter.read(type, emitter.named(_common_slot(type)))
            terms.append((common & _ROUGH).icmp("ne", _ROUGH).no_lane())
        return emitter.all_of(terms)


def _turned(words: Value) -> Value:
    return (words + words) + -1


def _all_at_least(turned: Value, grain: Grain) -> Value:
    return turned.icmp("ult", (_LEAST[grain] << 24) - 1).no_lane()

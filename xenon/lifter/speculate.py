"""Rounds of a loop run as if no unusual number turned up, and how that is found out afterwards.

Two things may go wrong with a floating-point result on the host. It is NaN, and then PowerPC might have
another one; but NaN operands make NaN results, so that it is enough to look at the last results of a chain,
and at a running sum only when the loop ends. Or, in the vector unit, it is so small that it must be flushed.
That is ruled out by its operands: where each factor is zero or at least 2^-40, products are multiples of
2^-126; so are their sums, rounded, with a summand that is zero or at least 2^-103; and such a number is no
denormal.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xenon.lifter.lift import Lifter

_WORDS = {4: "<4 x i32>", 16: "<16 x i32>"}


class Grain(IntEnum):
    """Every lane is zero, infinite, NaN or at least 2 to the power of minus ...; the value is a biased
    exponent, so that a higher one promises more."""

    MULTIPLE = 1  # or a multiple of 2^-126: no denormal
    FACTOR = 127 - 40


_LEAST = {Grain.MULTIPLE: 127 - 103, Grain.FACTOR: Grain.FACTOR}  # what a check asks for


def least_slots() -> list[tuple[str, str]]:
    """The stack slots that a speculation needs, and their types."""
    return [(_least_slot(grain, lanes), kind) for grain in Grain for lanes, kind in _WORDS.items()]


def _least_slot(grain: Grain, lanes: int) -> str:
    return f"least{int(grain)}_{lanes}"


class Speculation:
    """What must turn out to hold of the block at hand for its results to be right.

    `over_rounds`: it is found out when the loop is left or asks again for good pages, for all rounds since
    the last time; otherwise at the end of each round. `changed` names the slots that the block writes.
    """

    def __init__(self, lifter: Lifter, changed: frozenset[str], over_rounds: bool) -> None:
        self._lifter = lifter
        self._changed = changed
        self._over_rounds = over_rounds
        self._same: dict[str, str] = {}  # a value to another with the same bits or the same kind of NaN
        self._initial: dict[str, str] = {}  # values that slots had at the start of the round
        self._operands: dict[str, frozenset[str]] = {}  # of each result, all that came before
        self._kinds: dict[str, str] = {}
        self._ends: list[str] = []  # results that no other result follows from
        self._conditions: list[str] = []
        self._grains: dict[str, Grain] = {}
        self._least: dict[tuple[Grain, int], str] = {}
        self._assumed: dict[str, Grain] = {}  # of slots, before the first round
        self._sticky: dict[str, str] = {}  # slots to look at behind the last round, and their types

    # While the block is lifted

    def start_with(self, slot: str, value: str) -> None:
        """A slot was read for the first time."""
        self._initial[value] = slot

    def same(self, value: str, source: str) -> None:
        """A value that is NaN where its source is, with the same lanes or another sign."""
        self._same[value] = self._root(source)

    def _root(self, value: str) -> str:
        return self._same.get(value, value)

    def require(self, good: str) -> None:
        """An i1 must hold."""
        self._conditions.append(good)

    def number(self, kind: str, value: str, operands: list[str]) -> None:
        """A result must be no NaN; it is one where an operand is."""
        roots = [self._root(one) for one in operands]
        self._operands[value] = frozenset(roots).union(*(self._operands.get(one, ()) for one in roots))
        self._kinds[value] = kind
        self._ends = [one for one in self._ends if one not in self._operands[value]]
        self._ends.append(value)

    def promise(self, value: str, grain: Grain) -> None:
        """A value is known to have this grain."""
        self._grains[self._root(value)] = grain

    def need(self, value: str, grain: Grain, lanes: int = 4) -> None:
        """A vector of words must have this grain."""
        root = self._root(value)
        if root == "zeroinitializer" or self._grains.get(root, 0) >= grain:
            return
        slot = self._initial.get(root)
        if slot is not None and (self._over_rounds or slot not in self._changed):
            self._assumed[slot] = max(grain, self._assumed.get(slot, grain))
        else:
            self._look_at(value, grain, lanes)
        self._grains[root] = grain

    def _look_at(self, value: str, grain: Grain, lanes: int) -> None:
        """Keep the least of all lanes in question: doubled, so that the sign is gone, and one less, so that
        zero is the greatest."""
        lifter, kind = self._lifter, _WORDS[lanes]
        turned = _turned(lifter, value, lanes)
        least = self._least.get((grain, lanes))
        if least is None and self._over_rounds:
            least = lifter.op(f"load {kind}, ptr %{_least_slot(grain, lanes)}")
        if least is not None:
            turned = lifter.op(f"call {kind} @llvm.umin.v{lanes}i32({kind} {least}, {kind} {turned})")
        self._least[grain, lanes] = turned

    # Behind the block

    def end_round(self, now: dict[str, str]) -> None:
        """Note what each round adds to the verdict; `now` are the values of slots."""
        lifter = self._lifter
        for slot, grain in self._assumed.items():
            value = self._root(now.get(slot, ""))
            initial = next(one for one, its in self._initial.items() if its == slot)
            if slot in self._changed and value != initial and self._grains.get(value, 0) < grain:
                self._look_at(initial, grain, _lanes(slot))
        every = []
        for value in self._ends:
            final = next((one for one, its in now.items() if self._root(its) == value), "")
            first = {its: one for one, its in self._initial.items()}.get(final)
            if first in self._operands[value]:
                self._sticky[final] = self._kinds[value]
            else:
                every.append(value)
        bad = [lifter.op(f"xor i1 {lifter.ordered(self._kinds[one], one)}, true") for one in every]
        bad += [lifter.op(f"xor i1 {one}, true") for one in self._conditions]
        if bad:
            all_bad = lifter.op("load i1, ptr %bad")
            for one in bad:
                all_bad = lifter.op(f"or i1 {all_bad}, {one}")
            lifter.emit(f"store i1 {all_bad}, ptr %bad")
        for (grain, lanes), least in self._least.items():
            lifter.emit(f"store {_WORDS[lanes]} {least}, ptr %{_least_slot(grain, lanes)}")

    def round_verdict(self) -> str:
        """An i1: this round's results so far are right. "true" where nothing was in doubt."""
        lifter = self._lifter
        terms = [lifter.ordered(self._kinds[one], one) for one in self._ends]
        terms += self._conditions
        terms += [_all_at_least(lifter, least, *key) for key, least in self._least.items()]
        return _all_of(lifter, terms)

    def begin(self) -> str:
        """Before the first round: nothing is wrong yet. An i1: what was assumed holds."""
        lifter = self._lifter
        lifter.emit("store i1 false, ptr %bad")
        for slot, kind in least_slots():
            lifter.emit(f"store {kind} {_all(-1, 16 if '16' in kind else 4)}, ptr %{slot}")
        terms = []
        for slot, grain in self._assumed.items():
            lanes = _lanes(slot)
            terms.append(_all_at_least(lifter, _turned(lifter, lifter.get(slot), lanes), grain, lanes))
        return _all_of(lifter, terms)

    def final_verdict(self) -> str:
        """Behind the last round, an i1: the results of all of them are right."""
        lifter = self._lifter
        terms = []
        for slot, kind in self._sticky.items():
            value = lifter.get(slot)
            if kind[0] == "<":
                value = lifter.op(f"bitcast {_WORDS[_lanes(slot)]} {value} to {kind}")
            terms.append(lifter.ordered(kind, value))
        terms.append(lifter.op(f"xor i1 {lifter.op('load i1, ptr %bad')}, true"))
        for grain, lanes in self._least:
            least = lifter.op(f"load {_WORDS[lanes]}, ptr %{_least_slot(grain, lanes)}")
            terms.append(_all_at_least(lifter, least, grain, lanes))
        return _all_of(lifter, terms)


def _lanes(slot: str) -> int:
    return 16 if slot[0] == "w" else 4


def _all(value: int, lanes: int) -> str:
    return "<" + ", ".join([f"i32 {value}"] * lanes) + ">"


def _turned(lifter: Lifter, value: str, lanes: int) -> str:
    doubled = lifter.op(f"add {_WORDS[lanes]} {value}, {value}")
    return lifter.op(f"add {_WORDS[lanes]} {doubled}, {_all(-1, lanes)}")


def _all_at_least(lifter: Lifter, turned: str, grain: Grain, lanes: int) -> str:
    bound = _all((_LEAST[grain] << 24) - 1, lanes)
    return lifter.none(lifter.op(f"icmp ult {_WORDS[lanes]} {turned}, {bound}"), lanes)


def _all_of(lifter: Lifter, terms: list[str]) -> str:
    if not terms:
        return "true"
    good = terms[0]
    for one in terms[1:]:
        good = lifter.op(f"and i1 {good}, {one}")
    return good

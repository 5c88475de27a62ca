"""Memory that a loop has found free of tiny numbers, so that it need not look at them again.

A product of a matrix goes over the same vectors for each row. A fast loop looks at every lane that it loads:
whether it is zero or at least 2^-40 (speculate.py). Where that came out well, the bytes are remembered, an
interval for each stream of the loop, for as long as the function is under way; and where all streams of a
later run lie in their intervals, another form of the loop does without the look. A store into remembered
bytes, a call, a barrier and a reservation each begin a new epoch, in which nothing is remembered. What is
known of bytes holds whichever loop loads them: loops whose streams go the same steps remember together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from xenon.lifter.emitter import LIKELY, Emitter
from xenon.lifter.guards import Addresses, Origin
from xenon.lifter.ir_types import I64
from xenon.lifter.values import Value

_EPOCH, _LOW, _HIGH = "epoch", "remembered_low", "remembered_high"  # stack slots of an i64; of all loops
_LINE = 16  # bytes of a VR
_TRIES = 2  # runs of a loop without a hit, after which it gives up: what comes again does so in the next one


@dataclass(frozen=True, slots=True)
class Repeated:
    """A stream whose rounds lie without gaps behind one another: its address in the first round is the sum of
    `registers` and `offset`, and a round goes `step` bytes further."""

    registers: tuple[int, ...]
    offset: int
    step: int


def repeated(rows: Iterable[tuple[int, ...]], addresses: Addresses) -> list[Repeated]:
    """The streams that rows of lvx belong to, each the indices of loads from neighbouring lines; empty unless
    all of them are streams without gaps."""
    spans: dict[Origin, list[tuple[int, int]]] = {}
    for row in rows:
        origin, offset = addresses.places[row[0]]
        spans.setdefault(origin, []).append((offset, offset + _LINE * len(row)))
    streams = []
    for origin, parts in spans.items():
        parts.sort()
        registers = tuple(part for part in origin if isinstance(part, int))
        steps = [addresses.steps[number] for number in registers if number in addresses.steps]
        step = sum(moved.bytes for moved in steps)
        known = len(steps) == len(origin) and not any(moved.registers for moved in steps)
        joined = all(before[1] == behind[0] for before, behind in pairwise(parts))
        if not known or not joined or not 0 < step <= parts[-1][1] - parts[0][0]:
            return []
        streams.append(Repeated(registers, parts[0][0], step))
    return streams


def reserve_memory(emitter: Emitter) -> None:
    """Emit the stack slots of a function with loops that remember."""
    for name, number in ((_EPOCH, 1), (_LOW, -1), (_HIGH, 0)):
        emitter.alloca(name, I64)
        emitter.write_number(name, emitter.constant(I64, number))


def begin_epoch(emitter: Emitter) -> None:
    """Emit that memory may have changed anywhere."""
    emitter.write_number(_EPOCH, emitter.read_number(_EPOCH) + 1)
    emitter.write_number(_LOW, emitter.constant(I64, -1))
    emitter.write_number(_HIGH, emitter.constant(I64, 0))


def note_stores(emitter: Emitter, low: Value, end: Value) -> None:
    """Emit a look at where stores go: from `low` up to `end`. Only those into the bytes between the lowest
    and the highest that are remembered count."""
    hit = end.icmp("ugt", emitter.read_number(_LOW)) & low.icmp("ult", emitter.read_number(_HIGH))
    rare, usual = emitter.labels(2)
    emitter.branch_if(~hit, usual, rare, LIKELY)
    emitter.start(rare)
    begin_epoch(emitter)
    emitter.branch(usual)
    emitter.start(usual)


class Memory:
    """What loops remember of some of their streams, which go the same steps in all of them; `name` is unlike
    any other memory's of the function."""

    def __init__(self, emitter: Emitter, name: str, streams: Sequence[Repeated]) -> None:
        self._emitter = emitter
        self._streams = streams
        self._name = name
        for slot in ("epoch", "tries"):
            self._reserve(slot, _TRIES if slot == "tries" else 0)
        for number in range(len(streams)):
            for slot in ("low", "high", "first"):
                self._reserve(f"{slot}{number}", 0)

    def _reserve(self, slot: str, number: int) -> None:
        name = self._slot(slot)
        self._emitter.alloca(name, I64)
        self._emitter.write_number(name, self._emitter.constant(I64, number))

    def _slot(self, slot: str) -> str:
        return f"{slot}_{self._name}"

    def _get(self, slot: str) -> Value:
        return self._emitter.read_number(self._slot(slot))

    def _set(self, slot: str, value: Value) -> None:
        self._emitter.write_number(self._slot(slot), value)

    def still_tries(self) -> Value:
        """An i1: the loop has not given up to remember."""
        return self._get("tries").icmp("ne", 0)

    def knows(self, firsts: Sequence[Value], rounds: Value) -> Value:
        """Before the first round: an i1, whether all that so many rounds load is remembered. `firsts` are the
        addresses of the streams."""
        terms = [self._get("epoch").icmp("eq", self._emitter.read_number(_EPOCH))]
        for number, (stream, first) in enumerate(zip(self._streams, firsts, strict=True)):
            self._set(f"first{number}", first)
            terms.append(first.icmp("uge", self._get(f"low{number}")))
            terms.append((first + rounds * stream.step).icmp("ule", self._get(f"high{number}")))
        known = self._emitter.all_of(terms)
        self._set("tries", known.select(self._emitter.constant(I64, _TRIES), self._get("tries")))
        return known

    def remember(self, rounds: Value) -> None:
        """Behind rounds that went well: what so many of them loaded. After the last try nothing is,
        so that no store counts for its sake."""
        emitter = self._emitter
        self._set("tries", self._get("tries") + -1)
        again, given_up, done = emitter.labels(3)
        emitter.branch_if(self.still_tries(), again, given_up)
        emitter.start(given_up)
        begin_epoch(emitter)
        emitter.branch(done)
        emitter.start(again)
        epoch = emitter.read_number(_EPOCH)
        same = self._get("epoch").icmp("eq", epoch)
        self._set("epoch", epoch)
        for number, stream in enumerate(self._streams):
            low = self._get(f"first{number}")
            high = low + rounds * stream.step
            old_low, old_high = self._get(f"low{number}"), self._get(f"high{number}")
            touch = same & low.icmp("ule", old_high) & high.icmp("uge", old_low)
            low = touch.select(low.intrinsic("umin", old_low), low)
            high = touch.select(high.intrinsic("umax", old_high), high)
            self._set(f"low{number}", low)
            self._set(f"high{number}", high)
            _widen(emitter, low, high)
        emitter.branch(done)
        emitter.start(done)


def remember(emitter: Emitter, memories: Sequence[Memory], rounds: Value) -> None:
    """Behind rounds that went well: have the first of the memories that has not given up remember them.

    One at a time: what comes only once lies far from what comes again, and stores in between would count.
    """
    done = emitter.label()
    for memory in memories:
        yes, no = emitter.labels(2)
        emitter.branch_if(memory.still_tries(), yes, no)
        emitter.start(yes)
        memory.remember(rounds)
        emitter.branch(done)
        emitter.start(no)
    emitter.branch(done)
    emitter.start(done)


def _widen(emitter: Emitter, low: Value, high: Value) -> None:
    """Have `note_stores` count stores to these addresses too."""
    emitter.write_number(_LOW, emitter.read_number(_LOW).intrinsic("umin", low))
    emitter.write_number(_HIGH, emitter.read_number(_HIGH).intrinsic("umax", high))

"""Running sums of a loop that are one operation: what their forms have in common (side_by_side.py,
unpacked.py, half_sums.py, rows_together.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, Protocol, TypeVar

from xenon.lifter.guards import Place
from xenon.lifter.ir_types import FLOAT, I8, vector
from xenon.lifter.lift import Lifter
from xenon.lifter.slots import Slot, vr, wide
from xenon.lifter.speculate import Grain, Read
from xenon.lifter.values import Value

_LINE = 16  # bytes of a VR
T = TypeVar("T")


class Product(Protocol):
    """A vmaddfp: its index in the block, the VR that it adds to."""

    @property
    def index(self) -> int: ...

    @property
    def total(self) -> int: ...


P = TypeVar("P", bound=Product)


@dataclass(frozen=True, slots=True)
class SumGroup(Generic[P]):
    """Products that are one operation; their sums, in the order of the products, are in `slot`."""

    products: tuple[P, ...]
    slot: Slot

    @property
    def last(self) -> int:
        """The index behind which all of it is known."""
        return max(product.index for product in self.products)

    @property
    def totals(self) -> tuple[int, ...]:
        return tuple(product.total for product in self.products)


G = TypeVar("G", bound=SumGroup[Any])


class SumGroups(Generic[G]):
    """The groups of a loop, whose sums stay in their slots from round to round. Several groups may go on with
    the same sums."""

    def __init__(self, groups: Sequence[G]) -> None:
        self._groups = {group.last: group for group in groups}
        self._of_slot = {group.slot: group for group in groups}
        self.slots = tuple(self._of_slot)

    def assumed(self, _read: Read) -> list[Value]:
        """What must hold before the first round: nothing."""
        return []

    def pack(self, lifter: Lifter) -> None:
        """Before the first round."""
        for slot, group in self._of_slot.items():
            lifter.set(slot, joined([lifter.get(vr(total)) for total in group.totals]))

    def unpack(self, lifter: Lifter) -> None:
        """Behind the last one."""
        for slot, group in self._of_slot.items():
            for place, total in enumerate(group.totals):
                lifter.set(vr(total), part_of(lifter.get(slot), place))


def neighbours(
    items: Iterable[T], places: Callable[[T], Sequence[Place]], alike: Callable[[T], object]
) -> Iterator[list[T]]:
    """Items in runs, in which each one's lines are right behind those of the one before. `alike`: what they
    must have in common besides where addresses come from."""

    def kind(item: T) -> str:
        return repr((alike(item), [origin for origin, _ in places(item)]))

    def offsets(item: T) -> list[int]:
        return [offset for _, offset in places(item)]

    for _, group in groupby(sorted(items, key=lambda item: (kind(item), offsets(item))), key=kind):
        run: list[T] = []
        for item in group:
            if run and offsets(item) != [offset + _LINE for offset in offsets(run[-1])]:
                yield run
                run = []
            run.append(item)
        yield run


def in_widths(items: Sequence[T], widths: Sequence[int]) -> Iterator[tuple[T, ...]]:
    """Items in groups, each of the first width that there are enough left for."""
    while width := next((width for width in widths if width <= len(items)), 0):
        yield tuple(items[:width])
        items = items[width:]


def joined(parts: list[Value]) -> Value:
    """Vectors side by side: one, two, four or more of the same type."""
    while len(parts) > 1:
        lanes = range(2 * parts[0].type.lanes)
        parts = [a.shuffle(lanes, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def part_of(words: Value, place: int) -> Value:
    """A VR of several side by side."""
    return words if words.type.lanes == 4 else words.shuffle(range(4 * place, 4 * place + 4))


def lines_of_words(lifter: Lifter, address: Value, lines: int) -> Value:
    """The words of neighbouring lines of memory, VR after VR."""
    bytes = vector(_LINE * lines, I8)
    data = lifter.read(bytes, lifter.pointer(address), ", align 16")
    reversed = [lane ^ (_LINE - 1) for lane in range(bytes.lanes)]
    return data.shuffle(reversed).bitcast(wide(0, lines).type)


def multiply_add(lifter: Lifter, words: Sequence[Value], grain: Grain, floats: Sequence[Value] = ()) -> Value:
    """Emit the product of all but the last of these words, plus the last, as words that are promised to have
    this grain. `floats`: factors before them that are no words."""
    assert lifter.speculation is not None
    operands = [*floats]
    for value in words:
        operands.append(value.bitcast(vector(value.type.lanes, FLOAT)))
        lifter.same(operands[-1], value)
    result = operands[0].intrinsic("fma", *operands[1:])
    lifter.speculation.number(result, operands)
    lifter.speculation.promise(result, grain)
    total = result.bitcast(words[-1].type)
    lifter.same(total, result)
    return total

"""Running sums of a loop side by side: vmaddfp on neighbouring lines of memory, each with a sum of its own,
are one operation on eight or sixteen lanes, in as many parts as the host likes.

That is how a scalar product looks that hides the latency of vmaddfp. Several products share loads. Instead of
a second line, vspltw may have made the other factor, the same for all lines: a weighted sum of rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from xenon.lifter.flow import Block
from xenon.lifter.guards import Place, writes_memory
from xenon.lifter.lift import Lifter
from xenon.lifter.slots import MOST_WIDE, Slot, is_vr, vr, wide
from xenon.lifter.speculate import Grain
from xenon.lifter.sum_groups import (
    SumGroup,
    SumGroups,
    in_widths,
    lines_of_words,
    multiply_add,
    neighbours,
    part_of,
)
from xenon.lifter.values import Value

_WIDTHS = (4, 2, 1)  # lines in one operation, by preference


@dataclass(frozen=True, slots=True)
class _Product:
    """A vmaddfp: its index in the block, those of the lvx of its factors, the VR it adds to; where only one
    factor is loaded, the index of the vspltw that makes the other."""

    index: int
    loads: tuple[int, ...]
    total: int
    splat: int | None = None


class _Group(SumGroup[_Product]):
    """Products in the order of addresses."""

    __slots__ = ()

    @property
    def rows(self) -> list[tuple[int, ...]]:
        """The lvx of each factor that is loaded, in the order of addresses."""
        return list(zip(*(product.loads for product in self.products), strict=True))

    def is_before(self, other: _Group) -> bool:
        """Whether each sum of this group is made before that of another one that goes on with it."""
        pairs = zip(self.products, other.products, strict=True)
        return self.last < other.last and all(a.index < b.index for a, b in pairs)


class SideBySide(SumGroups[_Group]):
    """The groups of a loop. `held`: a VR to the index of the lvx that fills it last."""

    def __init__(self, groups: list[_Group], held: dict[int, int]) -> None:
        super().__init__(groups)
        self._held = held
        self._first = {row[0] for group in groups for row in group.rows}
        self._splats: dict[int, Value] = {}
        self._addresses: dict[int, Value] = {}
        self._loaded: dict[tuple[int, ...], Value] = {}
        self._known: frozenset[tuple[int, ...]] = frozenset()
        products = [product for group in groups for product in group.products]
        self._splat_of = {product.index: product.splat for product in products if product.splat is not None}
        self.indices = frozenset(index for product in products for index in (product.index, *product.loads))
        """The instructions of the block that take part."""

    def repeated_rows(self) -> list[list[tuple[int, ...]]]:
        """Loads that may be the same in a later run of the loop, a list for each way to be so: what is
        multiplied or what it is multiplied by, those first that are part of fewer sums."""
        pairs = [group.rows for group in self._groups.values() if len(group.rows) == 2]
        uses = Counter(row for rows in pairs for row in rows)
        return sorted(_sides(pairs), key=lambda rows: uses[rows[0]])

    def begin(self, known: Iterable[tuple[int, ...]]) -> None:
        """Start another form of the loop, in which the lanes of these rows are known to be factors."""
        self._addresses.clear()
        self._loaded.clear()
        self._splats.clear()
        self._known = frozenset(known)

    def lift(self, lifter: Lifter, block: Block, index: int) -> bool:
        """Emit what stands for one of the instructions: a group with its last. It is done with."""
        if index in self._first:
            self._addresses[index] = lifter.line_of(lifter.effective_address(block.body[index]))
        if index in self._splat_of:
            self._splats[index] = lifter.get(vr(block.body[self._splat_of[index]].rt))
        if index in self._groups:
            self._lift_group(lifter, block, self._groups[index])
        return True

    def _lift_group(self, lifter: Lifter, block: Block, group: _Group) -> None:
        assert lifter.speculation is not None
        factors = [self._load(lifter, block, row) for row in group.rows]
        for words in factors:
            lifter.speculation.need(words, Grain.FACTOR)
        if (splat := self._splats.get(group.products[0].index)) is not None:
            lifter.speculation.need(splat, Grain.FACTOR)
            everywhere = (
                splat.shuffle(list(range(4)) * len(group.products)) if len(group.products) > 1 else splat
            )
            lifter.same(everywhere, splat)
            factors.append(everywhere)
        sums = lifter.get(group.slot)
        lifter.speculation.need(sums, Grain.MULTIPLE)
        lifter.set(group.slot, multiply_add(lifter, (*factors, sums), Grain.MULTIPLE))

    def _load(self, lifter: Lifter, block: Block, row: tuple[int, ...]) -> Value:
        """The words of neighbouring lines, which are also what their registers hold from now on."""
        if row not in self._loaded:
            words = self._loaded[row] = lines_of_words(lifter, self._addresses[row[0]], len(row))
            if row in self._known and lifter.speculation is not None:
                lifter.speculation.promise(words, Grain.FACTOR)
            for place, index in enumerate(row):
                if self._held[block.body[index].rt] == index:
                    lifter.set(vr(block.body[index].rt), part_of(words, place))
        return self._loaded[row]


def _sides(pairs: Iterable[list[tuple[int, ...]]]) -> list[list[tuple[int, ...]]]:
    """The rows in two lists, one of each pair in either; none where that cannot be."""
    partners: dict[tuple[int, ...], list[tuple[int, ...]]] = defaultdict(list)
    for a, b in pairs:
        partners[a].append(b)
        partners[b].append(a)
    side: dict[tuple[int, ...], bool] = {}
    for first in partners:
        waiting = [] if first in side else [first]
        side.setdefault(first, False)
        while waiting:
            row = waiting.pop()
            for partner in partners[row]:
                if partner not in side:
                    waiting.append(partner)
                if side.setdefault(partner, not side[row]) is side[row]:
                    return []
    return [[row for row in partners if side[row] is other] for other in (False, True) if partners]


def find_side_by_side(block: Block, places: dict[int, Place]) -> SideBySide | None:
    """The sums of a loop of one block; None where something else touches a vector or writes memory, or where
    no two of them are neighbours."""
    held: dict[int, int] = {}
    loads: set[int] = set()
    splats: dict[int, int] = {}  # of each vspltw, the lvx that it reads
    products: list[_Product] = []
    for index, instruction in enumerate(block.body):
        a, b, c, target = instruction.ra, instruction.rb, instruction.rc, instruction.rt
        if instruction.mnemonic in ("lvx", "lvxl"):
            held[target] = index
            loads.add(index)
        elif instruction.mnemonic == "vspltw" and held.get(b) in loads:
            splats[index] = held[b]
            held[target] = index
        elif instruction.mnemonic == "vmaddfp" and target == b and a in held and c in held:
            factors = sorted({held[a], held[c]} - splats.keys(), key=lambda load: repr(places[load][0]))
            splat = next((held[number] for number in (a, c) if held[number] in splats), None)
            if len(factors) != (2 if splat is None else 1):
                return None
            products.append(_Product(index, tuple(factors), target, splat))
        elif any(map(is_vr, instruction.reads | instruction.writes)) or writes_memory(instruction):
            return None
    totals = {product.total for product in products}
    multiplied = {load for product in products for load in product.loads}
    if held.keys() & totals or multiplied & set(splats.values()):
        return None
    if loads != multiplied | set(splats.values()):
        return None
    runs = neighbours(products, lambda product: [places[load] for load in product.loads], lambda p: p.splat)
    rows = [row for run in runs for row in in_widths(run, _WIDTHS)]
    slots: dict[tuple[int, ...], Slot] = {}
    groups = []
    for row in sorted(rows, key=lambda row: max(product.index for product in row)):
        of_row = tuple(product.total for product in row)
        groups.append(_Group(row, slots.setdefault(of_row, wide(len(slots), len(row)))))
    if len(slots) > MOST_WIDE or len(rows) == len(products) or sum(map(len, slots)) != len(totals):
        return None
    for slot in slots.values():
        chain = [group for group in groups if group.slot == slot]
        if not all(before.is_before(behind) for before, behind in pairwise(chain)):
            return None
    return SideBySide(groups, held)

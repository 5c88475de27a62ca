"""Running sums of a loop whose weights are bytes: unpacked, converted, times one vector plus another, and
multiplied by neighbouring lines of memory. Sixteen weights are one operation on sixteen lanes.

That is how a scalar product with quantised weights looks: vupkhsb and vupklsb, vupkhsh and vupklsh, vcfsx,
vmaddfp by a scale, vmaddfp by activations. Several sums share weights, several weights share activations.
"""

from __future__ import annotations

from collections.abc import Iterable

from xenon.lifter.flow import Block
from xenon.lifter.guards import Place, writes_memory
from xenon.lifter.ir_types import BYTES_16, FLOAT, FLOATS_4, I8, I32, vector
from xenon.lifter.lift import Lifter
from xenon.lifter.slots import MOST_WIDE, Slot, vr, wide
from xenon.lifter.speculate import Grain
from xenon.lifter.sum_groups import SumGroup, SumGroups, joined, multiply_add
from xenon.lifter.unpacked_products import Key, ProductFinder, UnpackedProduct
from xenon.lifter.values import Value

_LINE = 16  # bytes of a VR
_PARTS = 4  # VRs that the items of one VR of bytes become
_LANES = 16
_FLOATS = vector(_LANES, FLOAT)
# Lane 4 k + e is element e of VR k, as they stand in memory; lane 3 - e of a VR is its element e.
_ITEMS = [15 - item for item in range(_LANES)]
_REVERSED = (3, 2, 1, 0)


class _Group(SumGroup[UnpackedProduct]):
    """Four products, part by part."""

    __slots__ = ()

    @property
    def row(self) -> tuple[int, ...]:
        """The loads, in the order of addresses."""
        return tuple(product.load for product in self.products)


class Unpacked(SumGroups[_Group]):
    """The groups of a loop. `held`: a VR to the index of the instruction that writes it last. `copies`: the
    index of an instruction that copies a sum, as it is when a round begins, to the VR that the sum is in."""

    def __init__(self, groups: list[_Group], held: dict[int, int], copies: dict[int, int]) -> None:
        super().__init__(groups)
        self._held = held
        self._copies = copies
        self._first = {group.row[0] for group in groups}
        self._before: dict[int, Value] = {}  # a VR with a sum to what it held when the round began
        self._captured: dict[int, tuple[Value, ...]] = {}
        self._addresses: dict[int, Value] = {}
        self._loaded: dict[tuple[int, ...], Value] = {}
        self._weights: dict[Key, Value] = {}
        self._known: frozenset[tuple[int, ...]] = frozenset()
        products = [product for group in groups for product in group.products]
        taken = {index for product in products for index in product.indices}
        self.indices = frozenset(taken | copies.keys())
        """The instructions of the block that take part."""

    def repeated_rows(self) -> list[list[tuple[int, ...]]]:
        """Loads that may be the same in a later run of the loop: the activations."""
        return [list(dict.fromkeys(group.row for group in self._groups.values()))]

    def begin(self, known: Iterable[tuple[int, ...]]) -> None:
        """Start another form of the loop, in which the lanes of these rows are known to be factors."""
        for values in (self._captured, self._addresses, self._loaded, self._weights, self._before):
            values.clear()
        self._known = frozenset(known)

    def lift(self, lifter: Lifter, block: Block, index: int) -> bool:
        """Emit what stands for one of the instructions: a group with its last. It is done with."""
        instruction = block.body[index]
        if self._copies and not self._before:
            for group in self._of_slot.values():
                for part, product in enumerate(group.products):
                    self._before[product.total] = _part(lifter.get(group.slot), part)
        if index in self._copies:
            if self._held[instruction.rt] == index:
                lifter.set(vr(instruction.rt), self._before[self._copies[index]])
            return True
        if index in self._first:
            self._addresses[index] = lifter.line_of(lifter.effective_address(instruction))
        elif instruction.mnemonic in ("vupkhsb", "vupklsb"):
            self._captured[index] = (lifter.get(vr(instruction.rb)),)
        elif instruction.mnemonic == "vmaddfp":
            numbers = (instruction.ra, instruction.rb, instruction.rc)
            self._captured[index] = tuple(lifter.get(vr(number)) for number in numbers)
        if index in self._groups:
            self._lift_group(lifter, block, self._groups[index])
        return True

    def _lift_group(self, lifter: Lifter, block: Block, group: _Group) -> None:
        assert lifter.speculation is not None
        weights, words = self._sixteen(lifter, block, group), self._load(lifter, block, group.row)
        sums = lifter.get(group.slot)
        lifter.speculation.need(weights, Grain.FACTOR)
        lifter.speculation.need(words, Grain.FACTOR)
        lifter.speculation.need(sums, Grain.MULTIPLE)
        lifter.set(group.slot, multiply_add(lifter, (weights, words, sums), Grain.MULTIPLE))
        for part, product in enumerate(group.products):
            if block.body[product.index].rt != product.total:
                self._keep(lifter, block, product.index, lifter.get(group.slot), part)

    def _sixteen(self, lifter: Lifter, block: Block, group: _Group) -> Value:
        """The words of the weights of a group."""
        key = group.products[0].weight.key
        if key in self._weights:
            return self._weights[key]
        assert lifter.speculation is not None
        chains = [product.weight.chain for product in group.products]
        first = block.body[chains[0][3]]
        left, addend, right = self._captured[chains[0][3]]
        scale = left if first.rc == block.body[chains[0][2]].rt else right
        source = self._captured[chains[0][0]][0]
        integers = source.bitcast(BYTES_16).shuffle(_ITEMS).sext(32)
        floats = integers.to_float(_FLOATS, signed=True)
        lifter.speculation.promise(floats, Grain.INTEGER)
        grain = lifter.speculation.need_of_sum((floats, scale), addend)
        others = [self._everywhere(lifter, words) for words in (scale, addend)]
        result = floats.intrinsic("fma", *others)
        lifter.speculation.number(result, others)
        lifter.speculation.promise(result, grain)
        words = result.bitcast(wide(0, _PARTS).type)
        lifter.same(words, result)
        self._weights[key] = words
        converted = floats.bitcast(words.type)
        for part, chain in enumerate(chains):
            self._keep(lifter, block, chain[1], integers, part)
            self._keep(lifter, block, chain[2], converted, part)
            self._keep(lifter, block, chain[3], words, part)
            if self._held[block.body[chain[0]].rt] == chain[0]:
                start = 8 if block.body[chain[0]].mnemonic == "vupkhsb" else 0
                halves = source.bitcast(BYTES_16).shuffle(range(start, start + 8)).sext(16)
                lifter.set_vector(block.body[chain[0]].rt, halves)
        return words

    def _everywhere(self, lifter: Lifter, words: Value) -> Value:
        """A VR four times, as floats."""
        result = words.bitcast(FLOATS_4).shuffle(_REVERSED * _PARTS)
        lifter.same(result, words)
        return result

    def _keep(self, lifter: Lifter, block: Block, index: int, words: Value, part: int) -> None:
        """Let the VR of an instruction hold its part, if no later one writes it."""
        number = block.body[index].rt
        if self._held[number] == index:
            lifter.set(vr(number), _part(words, part))

    def _load(self, lifter: Lifter, block: Block, row: tuple[int, ...]) -> Value:
        """The words of neighbouring lines."""
        if row not in self._loaded:
            bytes = vector(_LINE * _PARTS, I8)
            data = lifter.read(bytes, lifter.pointer(self._addresses[row[0]]), ", align 16")
            reversed = [lane ^ 3 for lane in range(bytes.lanes)]
            words = self._loaded[row] = data.shuffle(reversed).bitcast(vector(_LANES, I32))
            if row in self._known and lifter.speculation is not None:
                lifter.speculation.promise(words, Grain.FACTOR)
            for part, index in enumerate(row):
                self._keep(lifter, block, index, words, part)
        return self._loaded[row]

    def pack(self, lifter: Lifter) -> None:
        """Before the first round."""
        for slot, group in self._of_slot.items():
            lifter.set(slot, joined([lifter.get(vr(total)).shuffle(_REVERSED) for total in group.totals]))

    def unpack(self, lifter: Lifter) -> None:
        """Behind the last one."""
        for slot, group in self._of_slot.items():
            for part, total in enumerate(group.totals):
                lifter.set(vr(total), _part(lifter.get(slot), part))


def _part(words: Value, part: int) -> Value:
    """A VR of four."""
    return words.shuffle([4 * part + lane for lane in _REVERSED])


def find_unpacked(block: Block, places: dict[int, Place]) -> Unpacked | None:
    """The sums of a loop of one block; None where there are none of this kind, or anything else stands in the
    way."""
    if any(map(writes_memory, block.body)):
        return None
    finder = ProductFinder(block)
    products = list(finder.products())
    groups = _grouped(products, places)
    if not groups or finder.is_touched_elsewhere(products):
        return None
    return Unpacked(groups, finder.held, finder.copies)


def _grouped(products: list[UnpackedProduct], places: dict[int, Place]) -> list[_Group]:
    """The products in fours; empty where some are left over."""
    fours: dict[tuple[Key, str, int, int], dict[int, UnpackedProduct]] = {}
    seen: dict[tuple[Key, str, int], int] = {}
    for product in products:
        origin, offset = places[product.load]
        base = (product.weight.key, repr(origin), offset - _LINE * product.weight.part)
        parts = fours.setdefault((*base, seen.get(base, 0)), {})
        if product.weight.part in parts:
            return []
        parts[product.weight.part] = product
        if len(parts) == _PARTS:
            seen[base] = seen.get(base, 0) + 1
    slots: dict[tuple[int, ...], Slot] = {}
    groups = []
    for parts in fours.values():
        if len(parts) != _PARTS:
            return []
        four = tuple(parts[part] for part in range(_PARTS))
        totals = tuple(product.total for product in four)
        slot = slots.setdefault(totals, wide(len(slots), _PARTS))
        groups.append(_Group(four, slot))
    every = [total for totals in slots for total in totals]
    if len(slots) > MOST_WIDE or len(set(every)) != len(every):
        return []
    return groups

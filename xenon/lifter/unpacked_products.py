"""The products of a loop whose weights are unpacked bytes (see unpacked.py), by what each VR holds for each
instruction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xenon.lifter.flow import Block
from xenon.lifter.slots import is_vr, number_of

Source = tuple[int, int | None]
"""What an operand holds: a VR, and the index of the instruction that wrote it in this round, if one did."""
Key = tuple[Source, Source, Source]
"""Sixteen weights: their bytes, what they are multiplied by, what is added."""


@dataclass(frozen=True, slots=True)
class Weight:
    """Four of sixteen weights: which they are, and the instructions that make them, the vmaddfp last."""

    key: Key
    part: int
    chain: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class UnpackedProduct:
    """A vmaddfp that adds weights times a line of memory to a VR."""

    index: int
    weight: Weight
    load: int
    total: int

    @property
    def indices(self) -> tuple[int, ...]:
        """The instructions that take part."""
        return self.index, self.load, *self.weight.chain


class ProductFinder:
    """Follows the VRs of a block. `held` and `copies` are what Unpacked needs to know."""

    def __init__(self, block: Block) -> None:
        self._body = block.body
        self.held: dict[int, int] = {}
        self.copies: dict[int, int] = {}
        self._before: dict[int, int | None] = {}  # a product to the one that it goes on from
        self._sources: list[dict[int, int | None]] = []
        for index, instruction in enumerate(block.body):
            reads = [number_of(name) for name in instruction.reads if is_vr(name)]
            self._sources.append({number: self.held.get(number) for number in reads})
            for name in instruction.writes:
                if is_vr(name):
                    self.held[number_of(name)] = index

    def products(self) -> Iterator[UnpackedProduct]:
        """The products in their order; notes the copies of their sums."""
        totals: dict[int, int] = {}  # of each product: the VR that the sum begins and ends in
        for index, instruction in enumerate(self._body):
            if instruction.mnemonic != "vmaddfp":
                continue
            number, before = self._source(index, instruction.rb)
            if before is not None and before not in totals:
                continue
            total = number if before is None else totals[before]
            for factor, other in ((instruction.ra, instruction.rc), (instruction.rc, instruction.ra)):
                weight, load = self._weight(index, factor), self._sources[index][other]
                if weight is not None and load is not None and self._is(load, "lvx"):
                    totals[index] = total
                    self._before[index] = before
                    self._note_copies(index, instruction.rb, total)
                    yield UnpackedProduct(index, weight, load, total)

    def _is(self, index: int | None, *mnemonics: str) -> bool:
        return index is not None and self._body[index].mnemonic in mnemonics

    def _source(self, index: int, number: int) -> Source:
        """What a VR holds for an instruction; of a copy, what was copied."""
        source = self._sources[index][number]
        while source is not None and self._is(source, "vor"):
            copy = self._body[source]
            if copy.ra != copy.rb:
                break
            number, source = copy.ra, self._sources[source][copy.ra]
        return number, source

    def _note_copies(self, index: int, number: int, total: int) -> None:
        """Those between a sum and what an instruction adds to."""
        source = self._sources[index][number]
        while source is not None and self._is(source, "vor"):
            self.copies[source] = total
            source = self._sources[source][self._body[source].ra]

    def _weight(self, index: int, number: int) -> Weight | None:
        """The weight that a VR holds for an instruction."""
        scaled = self._sources[index][number]
        if scaled is None or not self._is(scaled, "vmaddfp"):
            return None
        instruction = self._body[scaled]
        for integers, scale in ((instruction.ra, instruction.rc), (instruction.rc, instruction.ra)):
            chain = self._chain(scaled, integers)
            if chain is not None:
                unpacked, halves = self._body[chain[0]], self._body[chain[1]]
                part = 2 * (unpacked.mnemonic == "vupklsb") + (halves.mnemonic == "vupklsh")
                source = self._source(chain[0], unpacked.rb)
                key = (source, self._source(scaled, scale), self._source(scaled, instruction.rb))
                return Weight(key, part, (*chain, scaled))
        return None

    def _chain(self, index: int, number: int) -> tuple[int, int, int] | None:
        """The instructions that unpack and convert what a VR holds."""
        converted = self._sources[index][number]
        if converted is None or not self._is(converted, "vcfsx") or self._body[converted].ra:
            return None
        words = self._sources[converted][self._body[converted].rb]
        if words is None or not self._is(words, "vupkhsh", "vupklsh"):
            return None
        halves = self._sources[words][self._body[words].rb]
        if halves is None or not self._is(halves, "vupkhsb", "vupklsb"):
            return None
        return halves, words, converted

    def is_touched_elsewhere(self, products: list[UnpackedProduct]) -> bool:
        """Whether an instruction that takes no part reads what one that does wrote, or touches a sum."""
        taken = {index for product in products for index in product.indices}
        totals = {product.total for product in products}
        sums = {product.index for product in products}
        taken |= self.copies.keys()
        continued = [self._before[product.index] for product in products]
        going_on = [source for source in continued if source is not None]
        if len(set(going_on)) != len(going_on):
            return True
        ends = sums - set(going_on)
        if any(
            product.index in ends and self._body[product.index].rt != product.total for product in products
        ):
            return True
        if len(ends) != len(totals) or any(self._is_late(copy) for copy in self.copies):
            return True
        for index in range(len(self._body)):
            if index in sums:
                continue
            for number, source in self._sources[index].items():
                if source is None and number in totals and index not in self.copies:
                    return True
                if source in taken and index not in taken:
                    return True
        kinds = [product.weight.key for product in products]
        return any(source[1] in taken for key in kinds for source in key)

    def _is_late(self, copy: int) -> bool:
        """Whether what is copied is not a sum as it is when a round begins."""
        return self._source(copy, self._body[copy].ra)[1] is not None

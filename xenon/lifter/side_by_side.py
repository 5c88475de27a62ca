"""Four running sums of a loop as one: four vmaddfp on neighbouring lines of memory, each with a sum of its
own, are one operation on sixteen lanes, in as many parts as the host likes.

That is how a scalar product looks that hides the latency of vmaddfp.
"""

from __future__ import annotations

from xenon.lifter.flow import Block
from xenon.lifter.guards import Place, writes_memory
from xenon.lifter.ir_types import FLOAT, I8, vector
from xenon.lifter.lift import Lifter
from xenon.lifter.slots import SUMS, is_vr, vr
from xenon.lifter.speculate import Grain
from xenon.lifter.values import Value

_REGISTERS = 4
_BYTES, _FLOATS = vector(64, I8), vector(16, FLOAT)
_REVERSED = [16 * (lane // 16) + 15 - lane % 16 for lane in range(64)]


class SideBySide:
    """The instructions that take part, by their indices in the block: two rows of lvx, each in the order of
    addresses, and the vmaddfp. `sums` are the VRs that these add to, in the same order."""

    def __init__(self, rows: list[list[int]], fused: list[int], sums: list[int]) -> None:
        self._rows = rows
        self._last = max(fused)
        self._sums = sums
        self._addresses: dict[int, Value] = {}
        self.indices = frozenset((*rows[0], *rows[1], *fused))

    def lift(self, lifter: Lifter, block: Block, index: int) -> None:
        """What is emitted for one of the instructions: all of it for the last."""
        for row in self._rows:
            if index == row[0]:
                self._addresses[index] = lifter.effective_address(block.body[index]) & -16
        if index != self._last:
            return
        assert lifter.speculation is not None
        factors = [self._load(lifter, block, row) for row in self._rows]
        for words in factors:
            lifter.speculation.need(words, Grain.FACTOR)
        sums = lifter.get(SUMS)
        lifter.speculation.need(sums, Grain.MULTIPLE)
        floats = []
        for words in (*factors, sums):
            floats.append(words.bitcast(_FLOATS))
            lifter.same(floats[-1], words)
        result = floats[0].intrinsic("fma", *floats[1:])
        lifter.speculation.number(result, floats)
        lifter.speculation.promise(result, Grain.MULTIPLE)
        words = result.bitcast(SUMS.type)
        lifter.same(words, result)
        lifter.set(SUMS, words)

    def _load(self, lifter: Lifter, block: Block, row: list[int]) -> Value:
        """The words of four lines, which are also what their registers hold from now on."""
        data = lifter.read(_BYTES, lifter.pointer(self._addresses[row[0]]), ", align 16")
        words = data.shuffle(_REVERSED).bitcast(SUMS.type)
        holders = {block.body[index].rt: index for index in sorted((*self._rows[0], *self._rows[1]))}
        for place, index in enumerate(row):
            if holders[block.body[index].rt] == index:
                lifter.set(vr(block.body[index].rt), _part(words, place))
        return words

    def pack(self, lifter: Lifter) -> None:
        """Before the first round."""
        a, b, c, d = (lifter.get(vr(number)) for number in self._sums)
        low, high = a.shuffle(range(8), b), c.shuffle(range(8), d)
        lifter.set(SUMS, low.shuffle(range(16), high))

    def unpack(self, lifter: Lifter) -> None:
        """Behind the last one."""
        for place, number in enumerate(self._sums):
            lifter.set(vr(number), _part(lifter.get(SUMS), place))


def _part(words: Value, place: int) -> Value:
    """A VR of the four."""
    return words.shuffle(range(4 * place, 4 * place + 4))


def find_side_by_side(block: Block, places: dict[int, Place]) -> SideBySide | None:
    """The four sums of a loop of one block; None where something else touches a vector or writes memory."""
    held: dict[int, int] = {}  # a VR to the index of the lvx that filled it
    loads: list[int] = []
    products: list[tuple[int, int, int]] = []  # a vmaddfp and its two lvx
    for index, instruction in enumerate(block.body):
        a, b, c, target = instruction.ra, instruction.rb, instruction.rc, instruction.rt
        if instruction.mnemonic in ("lvx", "lvxl"):
            held[target] = index
            loads.append(index)
        elif instruction.mnemonic == "vmaddfp" and target == b and a in held and c in held:
            products.append((index, held[a], held[c]))
        elif any(map(is_vr, instruction.reads | instruction.writes)) or writes_memory(instruction):
            return None
    products.sort(key=lambda product: places[product[1]][1])
    sums = [block.body[index].rt for index, _, _ in products]
    rows = [[first for _, first, _ in products], [second for _, _, second in products]]
    if (
        len(products) != _REGISTERS
        or len(set(sums)) != _REGISTERS
        or held.keys() & set(sums)
        or sorted(loads) != sorted((*rows[0], *rows[1]))
        or not all(_are_neighbours([places[index] for index in row]) for row in rows)
    ):
        return None
    return SideBySide(rows, [index for index, _, _ in products], sums)


def _are_neighbours(places: list[Place]) -> bool:
    origin, first = places[0]
    return all(place == (origin, first + 16 * number) for number, place in enumerate(places))

"""Four running sums of a loop as one: four vmaddfp on neighbouring lines of memory, each with a sum of its
own, are one operation on sixteen lanes, in as many parts as the host likes.

That is how a scalar product looks that hides the latency of vmaddfp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xenon.lifter.flow import Block
from xenon.lifter.guards import Place
from xenon.lifter.rules_memory import effective_address
from xenon.lifter.speculate import Grain

if TYPE_CHECKING:
    from xenon.lifter.lift import Lifter

SUMS = "w0"  # the slot of the sums
_REGISTERS = 4
_BYTES, _WORDS, _FLOATS = "<64 x i8>", "<16 x i32>", "<16 x float>"
_REVERSED = ", ".join(f"i32 {16 * (lane // 16) + 15 - lane % 16}" for lane in range(64))


class SideBySide:
    """The instructions that take part, by their indices in the block: two rows of lvx, each in the order of
    addresses, and the vmaddfp. `sums` are the VRs that these add to, in the same order."""

    def __init__(self, rows: list[list[int]], fused: list[int], sums: list[int]) -> None:
        self._rows = rows
        self._last = max(fused)
        self._sums = sums
        self._addresses: dict[int, str] = {}
        self.indices = frozenset((*rows[0], *rows[1], *fused))

    def lift(self, lifter: Lifter, block: Block, index: int) -> None:
        """What is emitted for one of the instructions: all of it for the last."""
        for row in self._rows:
            if index == row[0]:
                address = effective_address(lifter, block.body[index])
                self._addresses[index] = lifter.op(f"and i64 {address}, -16")
        if index != self._last:
            return
        assert lifter.speculation is not None
        words = [self._load(lifter, block, row) for row in self._rows]
        for one in words:
            lifter.speculation.need(one, Grain.FACTOR, 16)
        sums = lifter.get(SUMS)
        lifter.speculation.need(sums, Grain.MULTIPLE, 16)
        floats = []
        for one in (*words, sums):
            floats.append(lifter.op(f"bitcast {_WORDS} {one} to {_FLOATS}"))
            lifter.same(floats[-1], one)
        operands = ", ".join(f"{_FLOATS} {one}" for one in floats)
        found = lifter.op(f"call {_FLOATS} @llvm.fma.v16f32({operands})")
        lifter.speculation.number(_FLOATS, found, floats)
        lifter.speculation.promise(found, Grain.MULTIPLE)
        result = lifter.op(f"bitcast {_FLOATS} {found} to {_WORDS}")
        lifter.same(result, found)
        lifter.set(SUMS, result)

    def _load(self, lifter: Lifter, block: Block, row: list[int]) -> str:
        """The words of four lines, which are also what their registers hold from now on."""
        data = lifter.op(f"load {_BYTES}, ptr {lifter.pointer(self._addresses[row[0]])}, align 16")
        data = lifter.op(f"shufflevector {_BYTES} {data}, {_BYTES} poison, <64 x i32> <{_REVERSED}>")
        words = lifter.op(f"bitcast {_BYTES} {data} to {_WORDS}")
        holders = {block.body[index].rt: index for index in sorted((*self._rows[0], *self._rows[1]))}
        for number, index in enumerate(row):
            if holders[block.body[index].rt] == index:
                lifter.set(f"v{block.body[index].rt}", _part(lifter, words, number))
        return words

    def pack(self, lifter: Lifter) -> None:
        """Before the first round."""
        a, b, c, d = (lifter.get(f"v{number}") for number in self._sums)
        halves = [
            lifter.op(f"shufflevector <4 x i32> {x}, <4 x i32> {y}, <8 x i32> <{_lanes(0, 8)}>")
            for x, y in ((a, b), (c, d))
        ]
        whole = lifter.op(
            f"shufflevector <8 x i32> {halves[0]}, <8 x i32> {halves[1]}, <16 x i32> <{_lanes(0, 16)}>"
        )
        lifter.set(SUMS, whole)

    def unpack(self, lifter: Lifter) -> None:
        """Behind the last one."""
        for place, number in enumerate(self._sums):
            lifter.set(f"v{number}", _part(lifter, lifter.get(SUMS), place))


def _lanes(first: int, end: int) -> str:
    return ", ".join(f"i32 {lane}" for lane in range(first, end))


def _part(lifter: Lifter, words: str, place: int) -> str:
    lanes = _lanes(4 * place, 4 * place + 4)
    return lifter.op(f"shufflevector {_WORDS} {words}, {_WORDS} poison, <4 x i32> <{lanes}>")


def find_side_by_side(block: Block, places: dict[int, Place]) -> SideBySide | None:
    """The four sums of a loop of one block; None where something else touches a vector or writes memory."""
    held: dict[int, int] = {}  # a VR to the index of the lvx that filled it
    loads: list[int] = []
    found: list[tuple[int, int, int]] = []  # a vmaddfp and its two lvx
    for index, one in enumerate(block.body):
        if one.mnemonic in ("lvx", "lvxl"):
            held[one.rt] = index
            loads.append(index)
        elif one.mnemonic == "vmaddfp" and one.rt == one.rb and one.ra in held and one.rc in held:
            found.append((index, held[one.ra], held[one.rc]))
        elif any(name[0] == "v" for name in one.reads | one.writes) or (one.access and one.access.write):
            return None
    found.sort(key=lambda three: places[three[1]][1])
    sums = [block.body[index].rt for index, _, _ in found]
    rows = [[three[which] for three in found] for which in (1, 2)]
    if (
        len(found) != _REGISTERS
        or len(set(sums)) != _REGISTERS
        or held.keys() & set(sums)
        or sorted(loads) != sorted((*rows[0], *rows[1]))
        or not all(_are_neighbours([places[index] for index in row]) for row in rows)
    ):
        return None
    return SideBySide(rows, [index for index, _, _ in found], sums)


def _are_neighbours(places: list[Place]) -> bool:
    origin, first = places[0]
    return all(place == (origin, first + 16 * number) for number, place in enumerate(places))

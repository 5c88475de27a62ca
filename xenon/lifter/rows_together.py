"""Rows of products with VRs that stay, side by side: vmaddfp behind vmaddfp, each a line of memory times such
a VR, plus what its row came to before, are one operation on the lines of four rows, or two.

That is how attention looks, the scores of positions, each a sum over a part of a head: of several positions
that are multiplied by the same VRs, or of one in several sums, whose lines are neighbours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from xenon.lifter.flow import Block
from xenon.lifter.guards import Place, writes_memory
from xenon.lifter.ir_types import BYTES_16
from xenon.lifter.lift import Lifter
from xenon.lifter.slots import Slot, is_vr, number_of, vr, wide
from xenon.lifter.speculate import Read
from xenon.lifter.sum_groups import in_widths, joined, lines_of_words, multiply_add, neighbours, part_of
from xenon.lifter.values import Value

_WIDTHS = (4, 2)  # rows in one operation, by preference


@dataclass(frozen=True, slots=True)
class _Step:
    """A vmaddfp: its index in the block, that of the lvx of its line, the VR that multiplies the line."""

    index: int
    load: int
    factor: int


@dataclass(frozen=True, slots=True)
class _Row:
    """A chain of them, which begins with a VR that stays."""

    start: int
    steps: tuple[_Step, ...]

    @property
    def key(self) -> tuple[int, ...]:
        """What rows must have in common to be one operation, unless their lines are neighbours."""
        return self.start, *(step.factor for step in self.steps)

    def places(self, places: dict[int, Place]) -> tuple[Place, ...]:
        """Where its lines are."""
        return tuple(places[step.load] for step in self.steps)


class _Rows:
    """Rows that are one operation a step; `done` is what the last step so far came to. `neighbours`: their
    lines are, in the order of the rows."""

    def __init__(self, rows: tuple[_Row, ...], neighbours: bool = False) -> None:
        self.rows = rows
        self.neighbours = neighbours
        self.done: Value | None = None
        steps = zip(*(row.steps for row in rows), strict=True)
        self.lasts = [max(step.index for step in level) for level in steps]
        """The index behind which all of a step is known, step by step."""


class RowsTogether:
    """The rows of a loop. `held`: a VR to the index of what fills it last."""

    slots: tuple[Slot, ...] = ()
    """It needs none: nothing goes on from round to round."""

    def __init__(self, groups: list[_Rows], held: dict[int, int]) -> None:
        self._groups = groups
        self._held = held
        self._levels = {last: (group, level) for group in groups for level, last in enumerate(group.lasts)}
        steps = [step for group in groups for row in group.rows for step in row.steps]
        self._loads = {step.load for step in steps}
        beside = [group.rows for group in groups if group.neighbours]
        self._first = {step.load for rows in beside for step in rows[0].steps}
        self._single = self._loads - {step.load for rows in beside for row in rows for step in row.steps}
        self._lines: dict[int, Value] = {}
        self._addresses: dict[int, Value] = {}
        self.indices = frozenset(self._loads | {step.index for step in steps})
        """The instructions of the block that take part."""

    def repeated_rows(self) -> list[list[tuple[int, ...]]]:
        """No loads that may be the same in a later run of the loop."""
        return []

    def begin(self, _known: Iterable[tuple[int, ...]]) -> None:
        """Start another form of the loop."""
        self._lines.clear()
        self._addresses.clear()

    def assumed(self, _read: Read) -> list[Value]:
        """What must hold before the first round: nothing."""
        return []

    def pack(self, lifter: Lifter) -> None:
        """Nothing is kept in another form from round to round."""

    def unpack(self, lifter: Lifter) -> None:
        """Nor is it behind the last one."""

    def lift(self, lifter: Lifter, block: Block, index: int) -> bool:
        """Emit what stands for one of the instructions: a step of all rows with its last. It is done with."""
        if index in self._first:
            self._addresses[index] = lifter.line_of(lifter.effective_address(block.body[index]))
        elif index in self._single:
            instruction = block.body[index]
            address = lifter.line_of(lifter.effective_address(instruction))
            line = self._lines[index] = lifter.read(BYTES_16, lifter.pointer(address), ", align 16")
            lifter.set_vector(instruction.rt, lifter.reverse_bytes(line))
        elif index in self._levels:
            self._lift_step(lifter, block, *self._levels[index])
        return True

    def _lift_step(self, lifter: Lifter, block: Block, group: _Rows, level: int) -> None:
        assert lifter.speculation is not None
        steps = [row.steps[level] for row in group.rows]
        if group.neighbours:
            words = lines_of_words(lifter, self._addresses[steps[0].load], len(steps))
            for place, step in enumerate(steps):
                if self._held[block.body[step.load].rt] == step.load:
                    lifter.set(vr(block.body[step.load].rt), part_of(words, place))
            factor = _side_by_side(lifter, [step.factor for step in steps])
        else:
            words = _words_of_lines([self._lines[step.load] for step in steps])
            factor = _everywhere(lifter, steps[0].factor, len(steps))
        before = group.done if level else _everywhere(lifter, group.rows[0].start, len(steps))
        assert before is not None
        grain = lifter.speculation.need_of_sum((words, factor), before)
        group.done = multiply_add(lifter, (words, factor, before), grain)
        for place, step in enumerate(steps):
            target = block.body[step.index].rt
            if level + 1 == len(group.lasts) or self._held[target] == step.index:
                part = group.done.shuffle(range(4 * place, 4 * place + 4))
                lifter.same(part, group.done)
                lifter.set(vr(target), part)


def _words_of_lines(lines: list[Value]) -> Value:
    """Lines side by side, as the words of VRs."""
    count = len(lines)
    reversed = [lane ^ 15 for lane in range(16 * count)]
    return joined(lines).shuffle(reversed).bitcast(wide(0, count).type)


def _everywhere(lifter: Lifter, number: int, times: int) -> Value:
    """A VR so many times side by side."""
    words = lifter.get(vr(number))
    repeated = words.shuffle([*range(4)] * times)
    lifter.same(repeated, words)
    return repeated


def _side_by_side(lifter: Lifter, numbers: list[int]) -> Value:
    """VRs side by side."""
    assert lifter.speculation is not None
    parts = [lifter.get(vr(number)) for number in numbers]
    words = joined(parts)
    lifter.speculation.picked(words, tuple(parts))
    return words


def find_rows_together(block: Block, places: dict[int, Place]) -> RowsTogether | None:
    """The rows of a loop of one block; None where there are no two of the same kind."""
    written = {number_of(name) for item in block.body for name in item.writes if is_vr(name)}
    readers: dict[int, list[int]] = defaultdict(list)
    writers: dict[int, list[int]] = defaultdict(list)  # of a VR
    open_rows: dict[int, _Row] = {}  # by the index of their last step
    stores = [index for index, item in enumerate(block.body) if writes_memory(item)]

    def is_line(index: int | None) -> bool:
        return index in places and block.body[index].mnemonic in ("lvx", "lvxl")

    for index, instruction in enumerate(block.body):
        held = {number: indices[-1] for number, indices in writers.items()}
        for name in instruction.reads:
            if is_vr(name) and number_of(name) in held:
                readers[held[number_of(name)]].append(index)
        if instruction.mnemonic == "vmaddfp":
            a, b, c = instruction.ra, instruction.rb, instruction.rc
            factor, line = (a, c) if a not in written else (c, a)
            row = open_rows.get(held.get(b, -1)) or (_Row(b, ()) if b not in written else None)
            if row is not None and factor not in written and is_line(held.get(line)):
                step = _Step(index, held[line], factor)
                open_rows.pop(held.get(b, -1), None)
                open_rows[index] = _Row(row.start, (*row.steps, step))
        for name in instruction.writes:
            if is_vr(name):
                writers[number_of(name)].append(index)
    alone = [row for row in open_rows.values() if _is_alone(row, readers)]
    own_lines = [row for row in alone if all(readers[step.load] == [step.index] for step in row.steps)]

    def in_time(group: _Rows) -> bool:
        return _is_done_in_time(group, block, readers, writers) and group.lasts[-1] < min(
            stores, default=len(block.body)
        )

    groups = [
        group
        for run in neighbours(own_lines, lambda row: row.places(places), lambda row: row.start)
        for rows in in_widths(run, _WIDTHS)
        if in_time(group := _Rows(rows, neighbours=True))
    ]
    grouped = {row for group in groups for row in group.rows}
    by_key: dict[tuple[int, ...], list[_Row]] = defaultdict(list)
    for row in alone:
        if row not in grouped:
            by_key[row.key].append(row)
    groups += [
        group for rows in by_key.values() for group in map(_Rows, in_widths(rows, _WIDTHS)) if in_time(group)
    ]
    held = {number: indices[-1] for number, indices in writers.items()}
    return RowsTogether(groups, held) if groups else None


def _is_alone(row: _Row, readers: dict[int, list[int]]) -> bool:
    """Whether only the row itself reads what it comes to before its end."""
    return all(readers[step.index] == [behind.index] for step, behind in pairwise(row.steps))


def _is_done_in_time(
    group: _Rows, block: Block, readers: dict[int, list[int]], writers: dict[int, list[int]]
) -> bool:
    """Whether nothing reads or overwrites what a row comes to before all of them have."""
    last = group.lasts[-1]
    for row in group.rows:
        index = row.steps[-1].index
        later = [writer for writer in writers[block.body[index].rt] if writer > index]
        if min([*readers[index], *later], default=last + 1) <= last:
            return False
    return True

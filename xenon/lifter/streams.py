"""Loops of one block, whose addresses move by the same step each round: how many rounds stay on good pages.

A loop gets two forms. The fast one counts down the rounds for which every address has been found good
beforehand, and makes no check; where that comes to an end the pages are looked at again. The slow one checks
each access, and serves where not even one round is certain.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xenon.lifter import layout
from xenon.lifter.emitter import LIKELY
from xenon.lifter.guards import Addresses, Guard, Origin, Step
from xenon.lifter.ir_types import I64
from xenon.lifter.lift import Lifter
from xenon.lifter.values import Value

_LINE = 16  # bytes of a VR
MOST_ROUNDS = 1 << 16  # until the next look at whether the CPU is to stop


@dataclass(frozen=True, slots=True)
class Stream:
    """The accesses of one guard: their lowest address is the sum of `registers` and `offset` in the first
    round, and moves by `step` in each further one."""

    registers: tuple[int, ...]
    offset: int
    extent: int
    step: Step
    write: bool
    aligned: bool


def find_streams(guards: dict[int, Guard], steps: dict[int, Step]) -> dict[int, Stream]:
    """The guards of a loop that can be made ahead of it, by the index of their instruction: those whose
    address moves by the same step each round, which is not known to be negative."""
    streams = {}
    for index, guard in guards.items():
        registers = _registers(guard.origin)
        step = _step(guard.origin, steps)
        if registers is None or step is None:
            continue
        extent = guard.high - guard.low + (15 if guard.aligned else 0)
        if step.bytes >= 0 or step.registers:
            offset = guard.offset + guard.low
            streams[index] = Stream(registers, offset, extent, step, guard.write, guard.aligned)
    return streams


def find_followed(addresses: Addresses, streams: Iterable[Stream]) -> frozenset[int]:
    """The indices of `dcbt` that keep their distance ahead of a stream: a host follows that by itself."""
    steps = {stream.step for stream in streams if not stream.write}
    return frozenset(
        index for index, (origin, _) in addresses.hints.items() if _step(origin, addresses.steps) in steps
    )


@dataclass(frozen=True, slots=True)
class Placed:
    """An address in the first round: the sum of `registers` and `offset`."""

    registers: tuple[int, ...]
    offset: int


def first_address(lifter: Lifter, registers: Iterable[int], offset: int) -> Value:
    """Emit the sum of GPRs and an offset."""
    address = lifter.constant(I64, offset)
    for number in registers:
        address = address + lifter.gpr(number)
    return address


def find_placed(addresses: Addresses) -> dict[int, Placed]:
    """Accesses that are as far behind the start of a line in each round as in the first one, by the index of
    their instruction."""
    placed = {}
    for index, (origin, offset) in addresses.places.items():
        registers, step = _registers(origin), _step(origin, addresses.steps)
        if registers is not None and step is not None and not step.registers and step.bytes % _LINE == 0:
            placed[index] = Placed(registers, offset % _LINE)
    return placed


def _step(origin: Origin, steps: dict[int, Step]) -> Step | None:
    """How far a round moves the sum of an origin, where that is known."""
    moves = [steps.get(part) if isinstance(part, int) else None for part in origin]
    known = [move for move in moves if move is not None]
    if len(known) < len(moves):
        return None
    added = tuple(sorted(register for move in known for register in move.registers))
    return Step(sum(move.bytes for move in known), added)


def _registers(origin: Origin) -> tuple[int, ...] | None:
    """The GPRs whose sum an origin is; None for one that is not known at the start of the block."""
    registers = tuple(part for part in origin if isinstance(part, int))
    return registers if len(registers) == len(origin) else None


def safe_rounds(lifter: Lifter, streams: Iterable[Stream]) -> Value:
    """Emit the number of rounds, an i64, that may run without a check."""
    room: dict[Step, Value] = {}
    for stream in dict.fromkeys(streams):
        own = _room(lifter, stream)
        known = room.get(stream.step)
        room[stream.step] = own if known is None else known.intrinsic("umin", own)
    total = lifter.constant(I64, MOST_ROUNDS)
    for step, bytes in room.items():
        total = total.intrinsic("umin", _rounds(lifter, bytes, step))
    return total


def note_stores_ahead(lifter: Lifter, streams: Iterable[Stream], rounds: Value) -> None:
    """Emit a look at where so many rounds, at least one, store; see remembered.py."""
    for stream in dict.fromkeys(streams):
        if stream.write:
            low = _low(lifter, stream)
            end = low + (rounds + -1) * _move(lifter, stream.step) + (stream.extent + 1)
            lifter.note_stores(low, end)


def branch_unless_all_good(lifter: Lifter, streams: Iterable[Stream], rounds: Value, otherwise: str) -> Value:
    """A quick look at so many rounds: an i1, whether each stream stays in its page and the next one, and both
    are good. Goes to the label `otherwise` where that takes a closer look."""
    lows = {stream: _low(lifter, stream) for stream in streams}
    moves = {stream.step: _move(lifter, stream.step) for stream in lows}
    together = lifter.constant(I64, 0)  # all of them are less than memory has bytes, if this is
    for value in (*lows.values(), *(move for step, move in moves.items() if step.registers)):
        together = together | value
    further = rounds + -1
    look = lifter.label()
    few = further.icmp("ult", MOST_ROUNDS)
    lifter.branch_if(few & together.icmp("ult", lifter.target.ram_bytes), look, otherwise, LIKELY)
    lifter.start(look)
    page_bytes = lifter.target.page_bytes
    needs: dict[tuple[Step, int], Value] = {}
    distances = lifter.constant(I64, -1)  # from behind the next page: all must be negative
    rights: dict[bool, Value] = {}
    for stream, low in lows.items():
        kind = stream.step, stream.extent
        if kind not in needs:
            needs[kind] = further * moves[stream.step] + (stream.extent - 2 * page_bytes - 1)
        distances = distances & (needs[kind] + (low & (page_bytes - 1)))
        bits = lifter.page_bits(lifter.page_of(low))
        rights[stream.write] = rights[stream.write] & bits if stream.write in rights else bits
    good = [(bits & layout.page_rights(write)[1]).icmp("ne", 0) for write, bits in rights.items()]
    return lifter.all_of([*good, distances.icmp("slt", 0)])


def _low(lifter: Lifter, stream: Stream) -> Value:
    """The lowest address of the first round."""
    low = first_address(lifter, stream.registers, stream.offset)
    return low & -16 if stream.aligned else low


def _move(lifter: Lifter, step: Step) -> Value:
    """How far a round goes, in bytes."""
    moved = lifter.constant(I64, step.bytes)
    for number in step.registers:
        moved = moved + lifter.gpr(number)
    return moved


def _room(lifter: Lifter, stream: Stream) -> Value:
    """How far a stream may move and stay on good pages, and one more; 0 where it does not begin on one."""
    page_bytes = lifter.target.page_bytes
    low = _low(lifter, stream)
    page = lifter.page_of(low).intrinsic("umin", lifter.target.page_count)  # whose byte is 0
    bits = lifter.page_bits(page)
    own, run, far = layout.page_rights(stream.write)
    this_page, next_too, many = ((bits & right).icmp("ne", 0) for right in (own, run, far))
    rest = page_bytes - (low & (page_bytes - 1))
    good = this_page.select(rest, 0)
    more = next_too.select(lifter.constant(I64, page_bytes), 0)
    good = good + many.select(lifter.constant(I64, (layout.FAR_PAGES - 1) * page_bytes), more)
    return (good + 1).intrinsic("usub.sat", stream.extent)


def _rounds(lifter: Lifter, room: Value, step: Step) -> Value:
    """Rounds that a room is enough for. A step that is negative counts as one that is too large for any: its
    sum with the room is not."""
    if not step.registers:
        if step.bytes == 0:
            return room.icmp("ne", 0).select(lifter.constant(I64, MOST_ROUNDS), 0)
        return (room + (step.bytes - 1)).udiv(step.bytes)
    moved = _move(lifter, step).intrinsic("umax", 1)
    return (room + moved + -1).udiv(moved)

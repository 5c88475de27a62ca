"""Which accesses of a block one check covers: those at known distances from each other.

Address registers are followed through a block as (origin, offset), so that the four loads of an unrolled loop
need one look into the page table. A check stands before the first access of its group; whatever it refuses,
Unicorn executes from there, exactly.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from xenon.hardware.memory_map import PAGE_BYTES
from xenon.lifter.facts import constants_after, copied_from
from xenon.lifter.flow import Block
from xenon.powerpc.decode import Instruction, signed
from xenon.powerpc.operands import MemoryAccess

Place = tuple[Hashable, int]  # an origin, and a distance from it in bytes


@dataclass(slots=True)
class Guard:
    """Bytes `low` up to `high`, counted from the address of the access that the check stands before."""

    low: int
    high: int
    write: bool
    aligned: bool  # the lowest access ignores the low address bits
    aligned_end: bool  # so does the highest
    origin: Hashable  # of that address, and its distance from it
    offset: int


@dataclass(slots=True)
class _Group:
    first: int  # index in the block
    origin: Hashable
    offset: int  # of its first access
    members: list[tuple[int, MemoryAccess]]

    def span(self, offset: int, access: MemoryAccess) -> int:
        low = min(offset, *(one for one, _ in self.members))
        high = max(offset + access.size, *(one + its.size for one, its in self.members))
        return high - low

    def guard(self) -> Guard:
        low, lowest = min(self.members, key=lambda item: item[0])
        top, highest = max(self.members, key=lambda item: item[0] + item[1].size)
        return Guard(
            low - self.offset,
            top + highest.size - self.offset,
            lowest.write,
            any(access.aligned for _, access in self.members),
            highest.aligned,
            self.origin,
            self.offset,
        )


@dataclass(frozen=True, slots=True)
class Addresses:
    """Of a block: the check to make before the instruction at each index of its body; by how much it moves
    each GPR of which that can be said; and where each access goes, as an origin and a distance from it in
    bytes. An origin that is a number is that GPR as it is at the start."""

    guards: dict[int, Guard]
    steps: dict[int, int]
    places: dict[int, Place]


def find_addresses(block: Block, known_at_start: dict[int, int]) -> Addresses:
    """Follow the GPRs of a block."""
    known = dict(known_at_start)
    places: dict[int, Place] = {}
    open_groups: dict[Hashable, _Group] = {}
    groups: list[_Group] = []
    targets: dict[int, Place] = {}

    def place(register: int) -> Place:
        if register in known:
            return "constant", signed(known[register], 64)
        return places.get(register, (register, 0))

    for index, one in enumerate(block.body):
        access = one.access
        target: Place | None = None
        if access is not None:
            base = ("constant", 0) if one.ra == 0 and not access.update else place(one.ra)
            target = targets[index] = _target(one, access, base, place)
            key = (target[0], access.write, access.aligned)
            group = open_groups.get(key)
            if group is None or group.span(target[1], access) > PAGE_BYTES:
                group = open_groups[key] = _Group(index, target[0], target[1], [])
                groups.append(group)
                group.members.append((target[1], access))
            else:
                group.members.append((target[1], access))
        _follow(one, index, access, target, places, place)
        constants_after(one, known)
    moved = {number: place(number) for number in range(32)}
    steps = {number: offset for number, (origin, offset) in moved.items() if origin == number}
    return Addresses({group.first: group.guard() for group in groups}, steps, targets)


def _target(one: Instruction, access: MemoryAccess, base: Place, place: object) -> Place:
    if access.form != "X":
        return base[0], base[1] + one.displacement
    other: Place = place(one.rb)  # type: ignore[operator]
    if other[0] == "constant":
        return base[0], base[1] + other[1]
    if base[0] == "constant":
        return other[0], other[1] + base[1]
    return (base[0], other[0]), base[1] + other[1]


def _follow(
    one: Instruction,
    index: int,
    access: MemoryAccess | None,
    target: Place | None,
    places: dict[int, Place],
    place: object,
) -> None:
    moved: tuple[int, Place] | None = None
    if one.mnemonic == "addi" and one.ra:
        origin, offset = place(one.ra)  # type: ignore[operator]
        moved = one.rt, (origin, offset + one.si)
    elif (source := copied_from(one)) is not None:
        moved = one.ra, place(source)  # type: ignore[operator]
    elif access is not None and access.update and target is not None:
        moved = one.ra, target
    for name in one.writes:
        if name[0] == "r":
            places[int(name[1:])] = ((name, index), 0)
    if moved is not None:
        places[moved[0]] = moved[1]

"""Which accesses of a block one check covers: those at known distances from each other.

Address registers are followed through a block as (origin, offset), where an origin is the sum of registers,
so that the four loads of an unrolled loop need one look into the page table. A check stands before the first
access of its group; whatever it refuses, Unicorn executes from there, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xenon.lifter.facts import constants_after, copied_from
from xenon.lifter.flow import Block
from xenon.lifter.slots import is_gpr, number_of
from xenon.powerpc.decode import Instruction, signed
from xenon.powerpc.operands import MemoryAccess

Part = int | tuple[str, int]  # a GPR's value at the start of the block, or what an instruction wrote to one
Origin = tuple[Part, ...]  # the sum of its parts, which are sorted; () is 0
Place = tuple[Origin, int]  # an origin, and a distance from it in bytes
_MOST_PARTS = 4


@dataclass(slots=True)
class Guard:
    """Bytes `low` up to `high`, counted from the address of the access that the check stands before."""

    low: int
    high: int
    write: bool
    aligned: bool  # the lowest access ignores the low address bits
    aligned_end: bool  # so does the highest
    origin: Origin  # of that address, and its distance from it
    offset: int


@dataclass(slots=True)
class _Group:
    first: int  # index in the block
    origin: Origin
    offset: int  # of its first access
    members: list[tuple[int, MemoryAccess]]

    def span(self, offset: int, access: MemoryAccess) -> int:
        members = [*self.members, (offset, access)]
        low = min(start for start, _ in members)
        return max(start + member.size for start, member in members) - low

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
class Step:
    """What a block adds to a GPR: bytes, and the values of GPRs that it does not change."""

    bytes: int
    registers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a block's accesses go.

    `guards[i]`: the page check to emit before instruction i. `steps[r]`: how much the block adds to GPR r,
    where known. `places[i]`: what access i addresses. `hints[i]`: what `dcbt` i names.
    """

    guards: dict[int, Guard]
    steps: dict[int, Step]
    places: dict[int, Place]
    hints: dict[int, Place]


def writes_memory(instruction: Instruction) -> bool:
    """Whether an instruction stores."""
    return instruction.access is not None and instruction.access.write


_ALONE = frozenset(
    "mtvscr tw td twi tdi mffs mffs. mtfsf mtfsf. mtfsfi mtfsfi. mtfsb0 mtfsb0. mtfsb1 mtfsb1. mcrfs".split()
)


def stands_alone(instruction: Instruction) -> bool:
    """Whether no speculation may cover an instruction: its rule checks addresses itself, or may leave."""
    access = instruction.access
    return (
        instruction.mnemonic in _ALONE or instruction.sets_overflow or (access is not None and access.apart)
    )


def find_addresses(block: Block, known_at_start: dict[int, int], page_bytes: int) -> Addresses:
    """Follow the GPRs of a block, some of whose values are known at its start."""
    known = dict(known_at_start)
    moved: dict[int, Place] = {}
    open_groups: dict[tuple[Origin, bool, bool], _Group] = {}
    groups: list[_Group] = []
    targets: dict[int, Place] = {}
    hints: dict[int, Place] = {}

    def place(register: int) -> Place:
        if register in known:
            return (), signed(known[register], 64)
        return moved.get(register, ((register,), 0))

    for index, instruction in enumerate(block.body):
        access = instruction.access
        target: Place | None = None
        if access is not None and not access.apart:
            target = targets[index] = _target(instruction, access, place)
            origin, offset = target
            key = (origin, access.write, access.aligned)
            group = open_groups.get(key)
            if group is None or group.span(offset, access) > page_bytes:
                group = open_groups[key] = _Group(index, origin, offset, [])
                groups.append(group)
            group.members.append((offset, access))
        if instruction.mnemonic == "dcbt":
            base: Place = place(instruction.ra) if instruction.ra else ((), 0)
            hints[index] = _sum(base, place(instruction.rb))
        moved.update(_moved(instruction, index, target, place))
        constants_after(instruction, known)
    ends = {number: place(number) for number in range(32)}
    return Addresses({group.first: group.guard() for group in groups}, _steps(ends), targets, hints)


def _steps(ends: dict[int, Place]) -> dict[int, Step]:
    """How much a block adds to each GPR, from where the GPRs are at its end."""
    steps = {}
    for number, (origin, offset) in ends.items():
        added = tuple(part for part in origin if isinstance(part, int) and part != number)
        unchanged = all(ends[part] == ((part,), 0) for part in added)
        if number in origin and len(added) == len(origin) - 1 and unchanged:
            steps[number] = Step(offset, added)
    return steps


def _target(instruction: Instruction, access: MemoryAccess, place: Callable[[int], Place]) -> Place:
    """What an access addresses."""
    no_base = instruction.ra == 0 and not access.update
    base: Place = ((), 0) if no_base else place(instruction.ra)
    if access.form != "X":
        return base[0], base[1] + instruction.displacement
    return _sum(base, place(instruction.rb))


def _sum(a: Place, b: Place) -> Place:
    return tuple(sorted((*a[0], *b[0]), key=repr)), signed(a[1] + b[1], 64)


def _moved(
    instruction: Instruction, index: int, target: Place | None, place: Callable[[int], Place]
) -> dict[int, Place]:
    """Where the GPRs that an instruction writes are afterwards: at a known distance from an origin, or
    at an origin of their own."""
    access = instruction.access
    moved: dict[int, Place] = {
        number_of(name): (((name, index),), 0) for name in instruction.writes if is_gpr(name)
    }
    if instruction.mnemonic == "addi" and instruction.ra:
        origin, offset = place(instruction.ra)
        moved[instruction.rt] = origin, offset + instruction.si
    elif instruction.mnemonic == "add":
        total = _sum(place(instruction.ra), place(instruction.rb))
        if len(total[0]) <= _MOST_PARTS:
            moved[instruction.rt] = total
    elif (source := copied_from(instruction)) is not None:
        moved[instruction.ra] = place(source)
    elif access is not None and access.update and target is not None:
        moved[instruction.ra] = target
    return moved

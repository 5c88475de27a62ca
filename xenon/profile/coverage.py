"""Which functions of a program the recompiler would compile, from the file alone, and why not the others.

What counts is whether every instruction that control may come to has a rule, as in a run. llvmlite
is not needed.
"""

from __future__ import annotations

from dataclasses import dataclass

from xenon.hardware.cpu import Protection
from xenon.lifter.flow import NotUnderstood, explore
from xenon.linux.program import Program
from xenon.profile.names import Functions, Named, words_between_entries

_LOCAL_ENTRY = 8


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a function stays on Unicorn: an instruction without a rule. Without one, `address` is None."""

    reason: str
    address: int | None
    word: int
    mnemonic: str


@dataclass(frozen=True, slots=True)
class Covered:
    """A function: the instructions that control may come to, and what stands in the way."""

    name: str
    address: int
    instructions: int
    obstacles: tuple[Obstacle, ...]

    @property
    def compiles(self) -> bool:
        return not self.obstacles

    @property
    def bytes(self) -> int:
        return 4 * self.instructions


class _Image:
    """The words of a program's code, at the addresses of the file."""

    def __init__(self, program: Program) -> None:
        self._parts = [part for part in program.segments if part.protection & Protection.EXECUTE]

    def fetch(self, address: int) -> int | None:
        for part in self._parts:
            at = address - part.address
            if 0 <= at <= len(part.data) - 4:
                return None if at % 4 else int.from_bytes(part.data[at : at + 4], "big")
        return None


def coverage(program: Program) -> list[Covered]:
    """Of every function that has code, in the order of addresses."""
    image = _Image(program)
    functions = [one for one in Functions(program).all if one.is_function]
    starts = {at for one in functions for at in (one.start, one.start + _LOCAL_ENTRY)}
    found = (_covered(image, one, starts) for one in functions)
    return [one for one in found if one.instructions]


def _covered(image: _Image, function: Named, starts: set[int]) -> Covered:
    words = (image.fetch(function.start), image.fetch(function.start + 4))
    distance = words_between_entries(words[0] or 0, words[1] or 0)
    entries = tuple({function.start: None, function.start + 4 * distance: None})
    reasons: list[NotUnderstood] = []
    flow = explore(image.fetch, entries, starts, reasons)
    obstacles = tuple(
        Obstacle(str(one), one.address, image.fetch(one.address or 0) or 0, one.mnemonic)
        for one in sorted(reasons, key=lambda one: one.address or 0)
    )
    return Covered(function.name, function.start, len(flow.words), obstacles)

"""Which functions of a program the recompiler would compile, and why not the others, from the file alone.

A function compiles when every instruction that control may reach has a row in powerpc/operands.tsv, and its
branches are understood. Nothing is compiled, and llvmlite is not needed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from xenon.errors import XenonError
from xenon.hardware.cpu import Protection
from xenon.lifter.flow import Block, End, NotUnderstood
from xenon.lifter.jump_tables import Surroundings, explore_function
from xenon.linux.program import Program
from xenon.powerpc.abi import INSTRUCTION_BYTES, LOCAL_ENTRY_BYTES, entries_of
from xenon.profile.code_map import CodeMap, Span

_MOST_VISITS = 8  # of an instruction, on average: by the functions that reach it
_FEWEST_INSTRUCTIONS = 100_000  # that are looked at in any program


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a function stays on Unicorn: an instruction without a rule. Without one, `address` is None."""

    reason: str
    address: int | None
    word: int
    mnemonic: str


@dataclass(frozen=True, slots=True)
class Covered:
    """A function: how many instructions control may reach, and what keeps it from being compiled."""

    name: str
    address: int
    instructions: int
    obstacles: tuple[Obstacle, ...]
    exits: tuple[Obstacle, ...] = ()
    """Where its compiled code may leave to Unicorn: jumps to places that the file does not tell, and
    instructions that Unicorn executes."""

    @property
    def compiles(self) -> bool:
        return not self.obstacles

    @property
    def bytes(self) -> int:
        return INSTRUCTION_BYTES * self.instructions


class _Image:
    """The words of a program's code, at the addresses of the file."""

    def __init__(self, program: Program) -> None:
        self._segments = [segment for segment in program.segments if segment.protection & Protection.EXECUTE]

    @property
    def instructions(self) -> int:
        return sum(len(segment.data) // INSTRUCTION_BYTES for segment in self._segments)

    def fetch(self, address: int) -> int | None:
        if address % INSTRUCTION_BYTES:
            return None
        for segment in self._segments:
            offset = address - segment.address
            if 0 <= offset <= len(segment.data) - INSTRUCTION_BYTES:
                return int.from_bytes(segment.data[offset : offset + INSTRUCTION_BYTES], "big")
        return None


def _surroundings(program: Program, functions: Sequence[Span]) -> Surroundings:
    """What the file has around its functions, for jump tables."""
    segments = [segment for segment in program.segments if segment.protection & Protection.READ]
    starts = [span.start for span in functions]

    def read(address: int, size: int) -> bytes | None:
        for segment in segments:
            offset = address - segment.address
            if 0 <= offset <= len(segment.data) - size:
                return bytes(segment.data[offset : offset + size])
        return None

    def extent(address: int) -> tuple[int, int] | None:
        index = bisect_right(starts, address) - 1
        inside = index >= 0 and address < functions[index].end
        return (functions[index].start, functions[index].end) if inside else None

    return Surroundings(read, extent, program.functions().toc)


def coverage(program: Program) -> list[Covered]:
    """Every function that has code, in the order of addresses. Raises XenonError where so much of the code is
    reached from many functions that looking at each would take too long."""
    image = _Image(program)
    functions = [span for span in CodeMap(program).spans if span.is_function]
    starts = {span.start for span in functions}
    starts |= {start + LOCAL_ENTRY_BYTES for start in starts}
    left = max(_MOST_VISITS * image.instructions, _FEWEST_INSTRUCTIONS)
    covered: list[Covered] = []
    around = _surroundings(program, functions)
    for span in functions:
        function = _covered(image, span, starts, around)
        left -= function.instructions
        if left < 0:
            raise XenonError(
                f"{program.name}: its functions run into each other, expected separate functions"
            )
        if function.instructions:
            covered.append(function)
    return covered


def _covered(image: _Image, function: Span, starts: set[int], around: Surroundings) -> Covered:
    entries = entries_of(image.fetch, function.start)
    reasons: list[NotUnderstood] = []
    flow = explore_function(image.fetch, entries, starts, around, reasons)
    obstacles = tuple(
        Obstacle(str(reason), reason.address, image.fetch(reason.address or 0) or 0, reason.mnemonic)
        for reason in sorted(reasons, key=lambda reason: reason.address or 0)
    )
    exits = tuple(exit for block in flow.blocks.values() if (exit := _exit(block)) is not None)
    return Covered(function.name, function.start, len(flow.words), obstacles, exits)


def _exit(block: Block) -> Obstacle | None:
    """Where compiled code of a block leaves to Unicorn, or may."""
    last = block.last
    if last is None or block.end not in (End.JUMP_CTR, End.INTERPRETED):
        return None
    reason = "jumps to a place that is not known" if block.end is End.JUMP_CTR else "Unicorn executes it"
    return Obstacle(f"{last.mnemonic}: {reason}", last.address, last.word, last.mnemonic)

"""A budget drawn to scale: a bar of characters for a terminal, and an SVG file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from xenon.hardware.memory import Owner
from xenon.hardware.memory_map import in_units
from xenon.stories.budget import Budget, Use
from xenon.svg import document, rectangle, text

FREE, REST = "free", "the rest"
WIDTH = 960
"""Of a drawn bar, in pixels."""
_LETTERS = (
    ("weights", "W"),
    ("file", "W"),
    ("key cache", "K"),
    ("value cache", "V"),
    ("activations", "A"),
    ("stack", "S"),
    ("tokenizer", "T"),
    ("program", "P"),
    ("system", "#"),
    ("null", "#"),
    ("initrd", "W"),
    ("loader", "#"),
    ("device tree", "#"),
    ("exception", "#"),
    ("framebuffer", "B"),
    (FREE, "·"),
)
_COLOURS = {
    "W": "#4e79a7",
    "K": "#f28e2b",
    "V": "#e15759",
    "A": "#76b7b2",
    "S": "#59a14f",
    "T": "#edc948",
    "P": "#b07aa1",
    "#": "#6b6b6b",
    "B": "#bab0ac",
    "·": "#e8e8e8",
    "o": "#9c755f",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a bar: what it stands for, its bytes, the letter and the colour it is drawn with."""

    name: str
    size: int

    @property
    def letter(self) -> str:
        return letter(self.name)

    @property
    def colour(self) -> str:
        """As SVG and rich write it, #rrggbb."""
        return _COLOURS[self.letter]


def letter(purpose: str) -> str:
    """The letter that a region is drawn with; o for small things of several kinds."""
    return next((mark for start, mark in _LETTERS if purpose.startswith(start)), "o")


def parts(budget: Budget, least: int) -> list[Part]:
    """The program's regions, the largest first, then the system, then what is free.

    Regions below `least` bytes are one part. A budget that does not fit has nothing free.
    """
    own = sorted((use for use in budget.uses if use.owner is not Owner.SYSTEM), key=lambda use: -use.size)
    drawn = [Part(use.purpose, use.size) for use in own if use.size >= least]
    if rest := sum(use.size for use in own if use.size < least):
        drawn.append(Part(REST, rest))
    drawn.append(Part("system", sum(use.size for use in budget.uses if use.owner is Owner.SYSTEM)))
    if free := max(0, budget.run.memory_bytes - budget.total):
        drawn.append(Part(FREE, free))
    return drawn


def bar(budget: Budget, width: int) -> list[tuple[Part, int]]:
    """Each part with its number of characters, `width` in all; one character stands for as many bytes
    everywhere."""
    scale = max(budget.total, budget.run.memory_bytes)
    return with_cells(parts(budget, -(-scale // width)), width)


def with_cells(drawn: Sequence[Part], width: int) -> list[tuple[Part, int]]:
    """Parts with their shares of `width` characters."""
    cells = _shared_out([part.size for part in drawn], width)
    return list(zip(drawn, cells, strict=True))


def _shared_out(sizes: Sequence[int], width: int) -> list[int]:
    """`width` cells in proportion to sizes; boundaries are rounded where they lie, so no error adds up."""
    total, done, edges = sum(sizes), 0, [0]
    for size in sizes:
        done += size
        edges.append(round(done * width / total))
    return [end - start for start, end in pairwise(edges)]


def svg(budget: Budget) -> str:
    """A picture of the budget: the bar to scale, a line where the memory ends, and a legend."""
    run = budget.run
    scale = max(budget.total, run.memory_bytes)
    verdict = "fits" if budget.fits else "does not fit"
    title = (
        f"{run.model.path.name}, context {run.positions}: {in_units(budget.total)} of "
        f"{in_units(run.memory_bytes)}, {verdict}"
    )
    return drawing(title, parts(budget, scale // WIDTH + 1), run.memory_bytes)


def drawing(title: str, drawn: Sequence[Part], memory_bytes: int) -> str:
    """A bar of these parts to scale, a line where the memory ends, and a legend, as SVG."""
    width, height, left, row = WIDTH, 56, 20, 22
    scale = max(sum(part.size for part in drawn), memory_bytes)
    body = [text(left, 28, 18, title)]
    start = 0
    for part in drawn:
        x, size = left + start * width / scale, part.size * width / scale
        body.append(rectangle(x, 44, size, height, part.colour, _line(part)))
        start += part.size
    end = left + memory_bytes * width / scale
    body.append(
        f'<line x1="{end:.2f}" y1="38" x2="{end:.2f}" y2="{50 + height}" stroke="#000" stroke-width="2"/>'
    )
    for number, part in enumerate(drawn):
        y = 44 + height + 30 + number * row
        body += [rectangle(left, y - 12, 14, 14, part.colour), text(left + 24, y, 14, _line(part))]
    return document(width + 2 * left, 44 + height + 30 + len(drawn) * row, body)


def _line(part: Part) -> str:
    return f"{part.name}: {in_units(part.size)}"


def share(use: Use, budget: Budget) -> str:
    """The part of the console's memory that a region takes, in per cent."""
    return f"{100 * use.size / budget.run.memory_bytes:.1f}%"

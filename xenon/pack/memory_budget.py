"""What a packed story takes of a real console's memory, before it is packed: `budget --target xell`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from xenon.errors import ErrorCode, XenonError
from xenon.hardware.display import Screen
from xenon.hardware.memory_map import RAM_BYTES, SYSTEM, WORD_BYTES, in_units
from xenon.pack.limits import IMAGE_BASE, MemoryArea
from xenon.pack.plan import Layout, Tale, picture
from xenon.stories.budget_drawing import FREE, REST, WIDTH, Part, drawing


@dataclass(frozen=True, slots=True)
class MetalBudget:
    """All of a console's memory while it tells a tale, in the order of addresses, what is free included."""

    tale: Tale
    layout: Layout
    areas: tuple[MemoryArea, ...]

    @property
    def total(self) -> int:
        """Bytes that hold something."""
        return sum(area.size for area in self.areas if area.purpose != FREE)

    @property
    def context(self) -> int:
        """In positions."""
        return self.tale.context or self.tale.model.config.seq_len

    def parts(self, least: int) -> list[Part]:
        """The areas for a drawing; neighbours below `least` bytes are one part."""
        parts: list[Part] = []
        for area in self.areas:
            if area.size >= least:
                parts.append(Part(area.purpose, area.size))
            elif parts and parts[-1].name == REST:
                parts[-1] = Part(REST, parts[-1].size + area.size)
            else:
                parts.append(Part(REST, area.size))
        return parts

    def svg(self) -> str:
        """A picture: the memory to scale, and a legend."""
        title = (
            f"{self.tale.model.path.name} on a console, context {self.context}: "
            f"{in_units(self.total)} of {in_units(RAM_BYTES)}"
        )
        return drawing(title, self.parts(RAM_BYTES // WIDTH + 1), RAM_BYTES)

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON; sizes are in bytes, addresses are physical."""
        return {
            "model": os.fsencode(self.tale.model.path).decode(errors="replace"),
            "target": "xell",
            "layout": self.layout.value,
            "context": self.context,
            "prompt_bytes": len(self.tale.prompt),
            "memory_bytes": RAM_BYTES,
            "total_bytes": self.total,
            "fits": True,
            "regions": [
                {"purpose": area.purpose, "address": area.start, "size": area.size}
                for area in self.areas
                if area.purpose != FREE
            ],
        }


def predict_on_metal(tale: Tale, layout: Layout | None = None, screen: Screen | None = None) -> MetalBudget:
    """The memory of a console that tells a tale, with a new loader.

    Raises XenonError for what does not fit, which names the longest context that would.
    """
    try:
        chosen, areas = picture(tale, layout)
    except XenonError as error:
        if error.code is ErrorCode.OUT_OF_MEMORY and (longest := _longest_context(tale, layout)):
            raise XenonError(
                error.message,
                f"a context of {longest} fits",
                ErrorCode.CONTEXT_TOO_LONG,
                longest_context=longest,
            ) from error
        raise
    return MetalBudget(tale, chosen, tuple(_tiled(areas, screen or Screen())))


def _longest_context(tale: Tale, layout: Layout | None) -> int:
    """The most positions with which the tale fits, 0 where none does."""
    low, high = 0, tale.model.config.seq_len
    while low < high:
        middle = (low + high + 1) // 2
        try:
            picture(replace(tale, context=middle), layout)
            low = middle
        except XenonError:
            high = middle - 1
    return low


def _tiled(areas: tuple[MemoryArea, ...], screen: Screen) -> Iterator[MemoryArea]:
    """All of RAM: the areas and what is between them; the system's part is the framebuffer."""
    shown = screen.pitch * screen.rows * WORD_BYTES
    held = [area for area in areas if area.start != SYSTEM.start]
    held.append(MemoryArea(0, IMAGE_BASE, "exception vectors"))
    held.append(MemoryArea(screen.address, screen.address + shown, "framebuffer"))
    start = MemoryArea(0, 0, "")
    end = MemoryArea(RAM_BYTES, RAM_BYTES, "")
    for area, after in pairwise((start, *sorted(held), end)):
        if area.size:
            yield area
        if area.end < after.start:
            yield MemoryArea(area.end, after.start, FREE)

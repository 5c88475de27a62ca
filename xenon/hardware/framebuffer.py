"""The framebuffer's pixels (libxenon console.c; Linux' early console for the machine).

A pixel is a word with blue, green and red from its highest byte down. Tiles of 32 x 32 pixels stand in rows;
the index of a pixel's word inside of its tile has x bits 0 and 1, y bit 0, x bits 2 to 4, y bits 1 to 4, from
its lowest bit up; its bit 5 is flipped where y bit 3 is set.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from xenon.hardware.display import TILE, Screen
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import WORD_BYTES


@cache
def word_indices(screen: Screen) -> NDArray[np.int64]:
    """(height, width): the index of each pixel's word in the framebuffer."""
    y, x = np.mgrid[: screen.height, : screen.width]
    tile = y // TILE * (TILE * screen.pitch) + x // TILE * (TILE * TILE)
    inside = x & 3 | (y & 1) << 2 | (x >> 2 & 7) << 3 | (y >> 1 & 15) << 6
    return np.asarray(tile + (inside ^ (y >> 3 & 1) << 5), np.int64)


def framebuffer(memory: UnifiedMemory, screen: Screen) -> NDArray[np.uint32]:
    """The words of all pixels, as a view of RAM."""
    return np.frombuffer(memory.slice(screen.address, screen.pitch * screen.rows * WORD_BYTES), np.uint32)


def picture(memory: UnifiedMemory, screen: Screen) -> NDArray[np.uint8]:
    """(height, width, 3): red, green and blue of what is shown."""
    words = framebuffer(memory, screen).view(np.uint8).reshape(-1, WORD_BYTES)
    return np.ascontiguousarray(words[word_indices(screen)][:, :, 2::-1])

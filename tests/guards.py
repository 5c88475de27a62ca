"""What stands behind RAM in the host's memory, and what should stand there."""

from __future__ import annotations

import ctypes

import numpy as np

from xenon.hardware.cpu import Protection
from xenon.hardware.memory import BEHIND_BYTES, UnifiedMemory
from xenon.hardware.memory_map import RAM_BYTES
from xenon.hardware.pages import Pages
from xenon.lifter.layout import FAR_PAGES, page_rights


def behind(memory: UnifiedMemory) -> bytes:
    """All bytes of the buffer behind RAM."""
    return ctypes.string_at(memory.host_address + RAM_BYTES, BEHIND_BYTES)


def page_table(pages: Pages) -> bytes:
    """What a recompiler keeps there: a byte a page that says what the page allows, and nothing else."""
    rights = np.frombuffer(pages._rights, np.uint8)
    table = np.zeros(len(rights), np.uint8)
    for right, (own, run, far) in (
        (Protection.READ, page_rights(False)), (Protection.WRITE, page_rights(True))
    ):  # fmt: skip
        refused = np.append(np.flatnonzero(rights & right == 0), len(rights))
        pages_here = np.arange(len(rights))
        reach = refused[np.searchsorted(refused, pages_here)] - pages_here  # pages from here that allow it
        table |= ((reach > 0) * own | (reach > 1) * run | (reach >= FAR_PAGES) * far).astype(np.uint8)
    return table.tobytes().ljust(BEHIND_BYTES, b"\0")

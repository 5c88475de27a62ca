"""What stands behind RAM in the host's memory, and what should stand there."""

from __future__ import annotations

import ctypes

import numpy as np

from xenon.hardware.cpu import Protection
from xenon.hardware.memory import BEHIND_BYTES, UnifiedMemory
from xenon.hardware.memory_map import RAM_BYTES
from xenon.hardware.pages import Pages
from xenon.lifter.layout import READ, WRITE_ONE


def behind(memory: UnifiedMemory) -> bytes:
    """All bytes of the buffer behind RAM."""
    return ctypes.string_at(memory.host_address + RAM_BYTES, BEHIND_BYTES)


def page_table(pages: Pages) -> bytes:
    """What a recompiler keeps there: a byte a page that says what the page allows, and nothing else."""
    rights = np.frombuffer(pages._rights, np.uint8)
    bits = np.where(rights & Protection.READ, READ, 0) | np.where(rights & Protection.WRITE, WRITE_ONE, 0)
    table: bytes = (bits | (bits & np.append(bits[1:], 0)) << 1).astype(np.uint8).tobytes()
    return table.ljust(BEHIND_BYTES, b"\0")

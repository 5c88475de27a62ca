"""What both generations of XeLL's loader take: the bounds of every file that is packed."""

from __future__ import annotations

from dataclasses import dataclass

from xenon.hardware.memory_map import MIB
from xenon.xell.layout import LARGEST_FILE, PLACES

IMAGE_BASE = 0x0001_0000
"""Below it the old loader has its page table, and the processor its exception vectors."""
IMAGE_END = LARGEST_FILE
"""The image ends here at the latest, and a file has fewer bytes."""
TFTP_BYTES = 32 * MIB
"""The longest file that XeLL takes from a network."""
INITRD_BYTES = min(places.initrd.size for places in PLACES.values())
"""The longest initrd."""


@dataclass(frozen=True, slots=True, order=True)
class MemoryArea:
    """Physical memory from `start` up to `end`, and what is there."""

    start: int
    end: int
    purpose: str

    @property
    def size(self) -> int:
        return self.end - self.start

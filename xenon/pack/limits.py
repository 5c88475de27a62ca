"""What XeLL's two generations take, and which memory they hold: the bounds of every file that is packed.

The new loader is that of 2020 and later, the old one XeLL Reloaded up to v0.993.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

IMAGE_BASE = 0x0001_0000
"""Below it the old loader has its page table, and the processor its exception vectors."""
IMAGE_END = 0x0300_0000
"""The image ends here at the latest, and a file is smaller than this: 48 MiB."""
TFTP_BYTES = 32 << 20
"""The longest file that either loader takes from a network."""
INITRD_BYTES = 0x01F8_0000
"""The longest initrd whose place does not reach the loader's own code."""
RAM_END = 0x1E00_0000
"""The framebuffer begins here."""
ARGUMENT_BYTES = 254
"""The longest command line of an entry of kboot.conf."""


class Generation(StrEnum):
    """A generation of XeLL."""

    NEW = "new"
    OLD = "old"


@dataclass(frozen=True, slots=True, order=True)
class MemoryArea:
    """Physical memory from `start` up to `end`, and what is there."""

    start: int
    end: int
    purpose: str

    @property
    def size(self) -> int:
        return self.end - self.start


INITRD_START = {Generation.NEW: 0x0600_0000, Generation.OLD: 0x05FE_0000}
DEVICE_TREE = {
    Generation.NEW: MemoryArea(0x05FE_0000, 0x05FF_0000, "device tree"),
    Generation.OLD: MemoryArea(0x07FE_0000, 0x07FF_0000, "device tree"),
}
LOADER_CODE = MemoryArea(0x07F8_0000, 0x0800_0000, "loader")
FRAMEBUFFER = MemoryArea(RAM_END, 0x2000_0000, "framebuffer")

"""Puts a program into RAM as XeLL's loader leaves it: stale bytes wherever nothing was written."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, SYSTEM, Range, align_up
from xenon.xell.device_tree import device_tree
from xenon.xell.image import BootImage, check_apart
from xenon.xell.layout import ARGUMENT_MAGIC, ARGUMENTS_AT, CACHED_VIEW, PLACES, SECONDARY_AT, Loader
from xenon.xell.stick import Start

STALE = b"\x03\xa5\x5a\xff"
"""What RAM holds where nobody has written: no instruction, no small number, no address."""
STALE_STACK = 0x1DFF_FF00
"""The stack of XeLL's that thread 0 comes with."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the hardware threads begin, and what registers of thread 0 hold."""

    address: int
    device_tree: int

    @property
    def secondary(self) -> int:
        """Where hardware threads 1 to 5 begin."""
        return self.address + SECONDARY_AT

    def registers(self, thread: int) -> dict[int, int]:
        """The general registers that a hardware thread begins with; the others are stale."""
        stale = int.from_bytes(STALE * 2, "big")
        given = (
            {1: STALE_STACK, 3: self.device_tree, 4: self.address, 5: 0} if thread == 0 else {1: 0, 3: thread}
        )
        return {number: given.get(number, stale) for number in range(32)}


def load_image(memory: UnifiedMemory, image: BootImage, start: Start, loader: Loader) -> Entry:
    """Write everything to RAM; the framebuffer is black. Raises XenonError for an initrd that would lie over
    the program."""
    places = PLACES[loader]
    initrd = None
    if start.initrd is not None:
        initrd = Range("initrd", places.initrd.start, len(start.initrd))
        for block in image.blocks:
            check_apart(image.name, block, initrd, loader)
    fill_with_stale_bytes(memory, image.end + 2 * (len(start.program) + len(start.initrd or b"")))
    memory.write(places.file, start.program)
    for block in image.blocks:
        for base in (0, places.assembled):
            if base is not None:
                memory.write(base + block.address, block.data)
                memory.clear(base + block.address + len(block.data), base + block.end)
    if initrd is not None and start.initrd is not None:
        memory.write(initrd.start, start.initrd)
    memory.write(places.device_tree.start, device_tree(start.bootargs, initrd))
    # argv: one pointer and a 0, then the string.
    string = places.argv + 8
    memory.write(places.argv, struct.pack(">2I", CACHED_VIEW + string, 0) + start.argument + b"\0")
    arguments = struct.pack(">3I", ARGUMENT_MAGIC, 1, CACHED_VIEW + places.argv)
    memory.write(image.entry + ARGUMENTS_AT, arguments)
    return Entry(image.entry, places.device_tree.start)


def fill_with_stale_bytes(memory: UnifiedMemory, used: int) -> None:
    """All RAM below the framebuffer. A program is taken to use what is below `used`: its image, and a heap
    behind that for what its files hold."""
    used = min(align_up(used, PAGE_BYTES), SYSTEM.start)
    memory.fill(0, used, STALE)
    memory.fill(used, SYSTEM.start, STALE, is_rare=True)

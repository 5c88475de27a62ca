"""Where XeLL and its loader put things in RAM (libxenon elf.c and elf_run.S, before and after May 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from xenon.hardware.memory_map import MIB, PAGE_BYTES, RAM_BYTES, SYSTEM, MemoryMap, Range


class Loader(Enum):
    """The two generations of the loader inside of XeLL, by what decides: program headers, or sections."""

    NEW = "new"
    OLD = "old"


@dataclass(frozen=True, slots=True)
class Places:
    """One loader's places. `image` is what may hold the program, `working` what the loader itself needs while
    it copies; `argv` holds the program's name, `assembled` a copy of the image, if there is one."""

    image: Range
    device_tree: Range
    initrd: Range
    loader: Range
    file: int
    argv: int
    assembled: int | None = None

    @property
    def working(self) -> tuple[Range, ...]:
        """What no byte of the program may touch."""
        copies = Range("copy of the file and argv", self.file, self.argv + PAGE_BYTES - self.file)
        return (self.device_tree, self.loader, copies)


_LOADER = Range("loader", 0x07F8_0000, 512 * 1024)
# Both loaders announce up to 32 MiB of initrd, whose end would lie over the loader's own code.
PLACES = {
    Loader.NEW: Places(
        image=Range("image", 0, 48 * MIB),
        device_tree=Range("device tree", 0x05FE_0000, 64 * 1024),
        initrd=Range("initrd", 0x0600_0000, 0x01F8_0000),
        loader=_LOADER,
        file=0x0B00_0000,
        argv=0x0E00_0000,
        assembled=0x0800_0000,
    ),
    Loader.OLD: Places(
        image=Range("image", 0, SYSTEM.start),
        device_tree=Range("device tree", 0x07FE_0000, 64 * 1024),
        initrd=Range("initrd", 0x05FE_0000, 0x01FA_0000),
        loader=_LOADER,
        file=0x0800_0000,
        argv=0x0A00_0000,
    ),
}

LARGEST_FILE = 48 * MIB
"""A file has fewer bytes."""
PAGE_TABLE_END = 0x1E5C
"""The old loader's own page table ends here."""
ARGUMENT_MAGIC = 0x5F61_7267
ARGUMENTS_AT = 8
"""Bytes from the entry point to {magic, argc, argv}."""
SECONDARY_AT = 0x60
"""Bytes from the entry point to where hardware threads 1 to 5 begin."""
CACHED_VIEW = 0x8000_0000
"""What the loader adds to the addresses in argv; real mode has no such view."""

REAL_MODE = MemoryMap(RAM_BYTES, (SYSTEM,), has_views=False)
"""The console's RAM as a program without translation has it."""
TOP_BIT = 1 << 63
"""Of an address in real mode: it leads past HRMOR, to the same registers of devices."""

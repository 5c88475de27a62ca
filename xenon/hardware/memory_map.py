"""The physical memory map of the console (libxenon, xenia memory.cc); no other file holds a raw address."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
WORD_BYTES = 4

RAM_BYTES = 512 * MIB
PAGE_BYTES = 4 * KIB
CACHE_LINE_BYTES = 128
HARDWARE_THREADS = 6  # three cores of two threads (IEEE Micro)


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses `start` up to but not including `end`, in bytes, and what they are for."""

    purpose: str
    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


# A null pointer, and a small offset from one, must fault: the first 64 KiB belong to nobody.
NULL_GUARD = Range("null pointer guard", 0x0000_0000, 64 * KIB)
# What programs and the GPU share.
PROGRAM = Range("program", 0x0001_0000, 480 * MIB - 64 * KIB)
# libxenon and XeLL keep the framebuffer here; Microsoft's system takes as much.
SYSTEM = Range("system and framebuffer", 0x1E00_0000, 32 * MIB)

PHYSICAL_MAP = (NULL_GUARD, PROGRAM, SYSTEM)

# The same RAM again for the CPUs (libxenon vm.c; xenia memory.cc): where a view begins, and with which
# physical address. The last one is as long as 32-bit addresses go.
VIEWS = (
    (Range("physical view, cached", 0x8000_0000, RAM_BYTES), 0),
    (Range("physical view, 64 KiB pages", 0xA000_0000, RAM_BYTES), 0),
    (Range("physical view, 16 MiB pages", 0xC000_0000, RAM_BYTES), 0),
    (Range("physical view, 4 KiB pages", 0xE000_0000, RAM_BYTES - PAGE_BYTES), PAGE_BYTES),
)

# Registers of the graphics processor in the address space of the CPUs (xenia graphics_system.cc).
GPU_REGISTERS = Range("GPU registers", 0x7FC8_0000, 64 * KIB)

# Where a position-independent program is placed: low, so that the space above stays in one piece.
POSITION_INDEPENDENT_BASE = 0x0010_0000

# A page that each CPU maps for a moment at start, for instructions that no register write can replace.
START_STUB = 0x0000_1000

# A page behind all RAM, at the end of the address space, through which the recompiler moves vector registers.
RECOMPILER_EXCHANGE = 0xFFFF_FFFF_FFFF_8000


def physical(address: int) -> int:
    """The physical address behind one in a view; any other address as it is."""
    for view, first in VIEWS:
        if view.start <= address < view.end:
            return address - view.start + first
    return address


def align_up(value: int, alignment: int) -> int:
    """`value` rounded up to a multiple of `alignment`, a power of two."""
    return (value + alignment - 1) & -alignment


def align_down(value: int, alignment: int) -> int:
    """`value` rounded down to a multiple of `alignment`, a power of two."""
    return value & -alignment


def in_units(size: int) -> str:
    """A size for people: `1.5 MiB`, `64 KiB`, `12 bytes`; exact below one KiB, one decimal above."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}" if size % unit == 0 else f"{size / unit:.1f} {name}"
    return f"{size} byte{'' if size == 1 else 's'}"

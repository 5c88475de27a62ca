"""The physical memory map of the console (libxenon, xenia memory.cc); no other file holds a raw address."""

from __future__ import annotations

from typing import NamedTuple

KIB = 1024
MIB = 1024 * KIB
WORD_BYTES = 4

RAM_BYTES = 512 * MIB
PAGE_BYTES = 4 * KIB
CACHE_LINE_BYTES = 128
CLEARED_BYTES = 32  # by a plain dcbz on Xenon; dcbzl clears a line
HARDWARE_THREADS = 6  # three cores of two threads (IEEE Micro)


class Range(NamedTuple):
    """Addresses `start` up to but not including `end`, in bytes, and what they are for."""

    purpose: str
    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


# libxenon and XeLL keep the framebuffer here; Microsoft's system takes as much.
SYSTEM = Range("system and framebuffer", 0x1E00_0000, 32 * MIB)

# The same RAM again for the CPUs (libxenon vm.c; xenia memory.cc): where a view begins, and with which
# physical address. The last one is as long as 32-bit addresses go.
VIEWS = (
    (Range("physical view, cached", 0x8000_0000, RAM_BYTES), 0),
    (Range("physical view, 64 KiB pages", 0xA000_0000, RAM_BYTES), 0),
    (Range("physical view, 16 MiB pages", 0xC000_0000, RAM_BYTES), 0),
    (Range("physical view, 4 KiB pages", 0xE000_0000, RAM_BYTES - PAGE_BYTES), PAGE_BYTES),
)


class MemoryMap(NamedTuple):
    """A machine's RAM, from physical address 0: `ram_bytes` of it, and the parts that are not handed out."""

    ram_bytes: int
    reserved: tuple[Range, ...]
    """In the order of addresses, without overlap."""
    has_views: bool = True
    """Whether CPUs see RAM in the physical views, too: not in real mode, where no address is translated."""

    @property
    def reserved_bytes(self) -> int:
        return sum(part.size for part in self.reserved)

    def reserving(self, part: Range) -> MemoryMap:
        """This map with a further part reserved."""
        return self._replace(reserved=tuple(sorted((*self.reserved, part), key=lambda kept: kept.start)))

    def free(self, purpose: str) -> tuple[Range, ...]:
        """What is not reserved, each piece named after its purpose."""
        starts = (0, *(part.end for part in self.reserved))
        ends = (*(part.start for part in self.reserved), self.ram_bytes)
        return tuple(
            Range(purpose, start, end - start) for start, end in zip(starts, ends, strict=True) if start < end
        )


XENON = MemoryMap(RAM_BYTES, (SYSTEM,))
"""The console's own map."""

# A page that each CPU maps for a moment at start, for instructions that no register write can replace.
START_STUB = 0x0000_1000

# A page behind all RAM, at the end of the address space, through which the recompiler moves vector registers.
RECOMPILER_EXCHANGE = 0xFFFF_FFFF_FFFF_8000

# A page behind all RAM that a CPU at rest maps for a moment, when a debugger asks for registers.
INSPECTION_STUB = 0xFFFF_FFFF_0000_0000


_FIRST_VIEW = min(view.start for view, _ in VIEWS)


def physical(address: int) -> int:
    """The physical address behind one in a view; any other address as it is."""
    if address < _FIRST_VIEW:
        return address
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

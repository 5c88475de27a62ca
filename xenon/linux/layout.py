"""Where Linux puts programs in the console's memory."""

from __future__ import annotations

from xenon.hardware.memory_map import KIB, XENON, Range

# A null pointer, and a small offset from one, must fault: the first 64 KiB belong to nobody.
NULL_GUARD = Range("null pointer guard", 0x0000_0000, 64 * KIB)

LINUX_MAP = XENON.reserving(NULL_GUARD)

# What programs and the GPU share: what is left of RAM in one piece.
(PROGRAM,) = LINUX_MAP.free("program")

# Where a position-independent program is placed: low, so that the space above stays in one piece.
POSITION_INDEPENDENT_BASE = 0x0010_0000

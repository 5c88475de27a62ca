"""Where an engine has its registers is found whatever else stands in memory."""

from __future__ import annotations

import ctypes
import struct

from xenon.hardware.unicorn import engine_memory


def test_memory_behind_the_registers_may_hold_the_same_numbers() -> None:
    """Bytes that a search looks for, in all of the blocks that an engine may get next."""
    if engine_memory.engine_layout() is None:
        return
    pattern = struct.pack("<8I", 1, 2, 3, 4, 5, 6, 7, 8)
    blocks = [ctypes.create_string_buffer(pattern * 2048) for _ in range(64)]
    del blocks[::2]
    engine_memory.engine_layout.cache_clear()
    assert engine_memory.engine_layout() is not None

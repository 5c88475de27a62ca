"""PM4 packets (xenia command_processor.cc, xenon-emu PM4Opcodes.h): their headers, opcodes and conditions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from enum import IntEnum

TYPE_SHIFT = 30
COUNT_SHIFT, COUNT_MASK = 16, 0x3FFF
OPCODE_SHIFT, OPCODE_MASK = 8, 0x7F
ONE_REGISTER = 1 << 15
REGISTER_MASK = 0x7FFF


class Opcode(IntEnum):
    """Opcodes of type-3 packets that this GPU runs."""

    NOP = 0x10
    REG_RMW = 0x21
    WAIT_FOR_IDLE = 0x26
    IM_LOAD = 0x27
    SET_CONSTANT = 0x2D
    LOAD_ALU_CONSTANT = 0x2F
    DRAW_INDX_2 = 0x36
    INDIRECT_BUFFER_PFD = 0x37
    INVALIDATE_STATE = 0x3B
    WAIT_REG_MEM = 0x3C
    MEM_WRITE = 0x3D
    REG_TO_MEM = 0x3E
    INDIRECT_BUFFER = 0x3F
    COND_WRITE = 0x45
    EVENT_WRITE = 0x46
    ME_INIT = 0x48
    INTERRUPT = 0x54
    EVENT_WRITE_SHD = 0x58


NOT_SIMULATED = {
    0x22: "DRAW_INDX",
    0x2B: "IM_LOAD_IMMEDIATE",
    0x4A: "SET_SHADER_BASES",
    0x50: "SET_BIN_MASK",
    0x51: "SET_BIN_SELECT",
    0x55: "SET_CONSTANT2",
    0x56: "SET_SHADER_CONSTANTS",
    0x59: "EVENT_WRITE_CFL",
    0x5A: "EVENT_WRITE_EXT",
    0x5B: "EVENT_WRITE_ZPD",
}
"""Opcodes that Xenos has and this GPU refuses by name."""


class Event(IntEnum):
    """Events that touch caches (xenia xenos.h)."""

    CACHE_FLUSH_TS = 4
    CACHE_FLUSH = 6
    CACHE_FLUSH_AND_INV_TS = 20
    CACHE_FLUSH_AND_INV = 22


INVALIDATING_EVENTS = frozenset((Event.CACHE_FLUSH_AND_INV_TS, Event.CACHE_FLUSH_AND_INV))

NEVER, EQUAL = 0, 3
CONDITIONS: tuple[Callable[[int, int], bool], ...] = (
    lambda value, reference: False,
    operator.lt,
    operator.le,
    operator.eq,
    operator.ne,
    operator.ge,
    operator.gt,
    lambda value, reference: True,
)
"""Bits 2-0 of WAIT_REG_MEM and COND_WRITE: how the masked value is compared with the reference."""
CONDITION_MASK = 7
POLL_MEMORY = 1 << 4
WRITE_MEMORY = 1 << 8

NOP_WORDS = frozenset((0x8000_0000, 0))
"""Type 2, and the zero that is skipped like it."""


def packet_words(header: int) -> int:
    """Dwords of the packet that begins with this header, itself included."""
    kind = header >> TYPE_SHIFT
    if kind == 1:
        return 3
    if kind == 2 or header == 0:
        return 1
    return (header >> COUNT_SHIFT & COUNT_MASK) + 2


def packet_name(header: int) -> str:
    """For messages: the opcode's name, or the packet's type."""
    if header >> TYPE_SHIFT != 3:
        return f"type {header >> TYPE_SHIFT}"
    opcode = header >> OPCODE_SHIFT & OPCODE_MASK
    try:
        return Opcode(opcode).name
    except ValueError:
        return NOT_SIMULATED.get(opcode, f"opcode 0x{opcode:02x}")


def type_0(register: int, count: int, one_register: bool = False) -> int:
    """Header of a packet that writes `count` dwords to registers from `register` on, or all to that one."""
    return (count - 1) << COUNT_SHIFT | (ONE_REGISTER if one_register else 0) | register


def type_3(opcode: int, count: int) -> int:
    """Header of a packet with `count` dwords after it."""
    return 3 << TYPE_SHIFT | (count - 1) << COUNT_SHIFT | opcode << OPCODE_SHIFT

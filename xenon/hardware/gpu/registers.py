"""Names and numbers of Xenos' registers (xenia register_table.inc, libxenon xe.c); __init__.py lists them."""

from __future__ import annotations

from enum import IntEnum

from xenon.hardware.memory_map import KIB, Range

GPU_REGISTERS = Range("GPU registers", 0x7FC8_0000, 64 * KIB)
"""Their window in the address space of the CPUs (xenia graphics_system.cc)."""

REGISTER_COUNT = 0x5000
"""Dword indices below this exist; most of them keep what is written and do nothing."""


class Register(IntEnum):
    """Registers that this GPU acts on, by dword index."""

    CP_RB_BASE = 0x01C0
    CP_RB_CNTL = 0x01C1
    CP_RB_RPTR_ADDR = 0x01C3
    CP_RB_RPTR = 0x01C4
    CP_RB_WPTR = 0x01C5
    CP_RB_WPTR_DELAY = 0x01C6
    SCRATCH_UMSK = 0x01DC
    SCRATCH_ADDR = 0x01DD
    CP_INT_CNTL = 0x01F2
    CP_INT_STATUS = 0x01F3
    CP_INT_ACK = 0x01F4
    CP_ME_CNTL = 0x01F6
    SCRATCH_REG0 = 0x0578
    SCRATCH_REG7 = 0x057F
    WAIT_UNTIL = 0x05C8
    RBBM_STATUS = 0x05D0
    COHER_SIZE_HOST = 0x0A2F
    COHER_BASE_HOST = 0x0A30
    COHER_STATUS_HOST = 0x0A31
    VGT_EVENT_INITIATOR = 0x21F9
    VGT_DRAW_INITIATOR = 0x21FC


# Groups of registers.
SCRATCH_COUNT = 8
FLOAT_CONSTANTS = 0x4000
FETCH_CONSTANTS = 0x4800
BOOL_CONSTANTS = 0x4900
LOOP_CONSTANTS = 0x4908
CONTEXT_REGISTERS = 0x2000

# Bits.
RB_CNTL_SIZE_MASK = 0x3F
RB_CNTL_SWAP_SHIFT = 16
RB_CNTL_NO_UPDATE = 1 << 27
RB_CNTL_RESET_POINTERS = 1 << 31
ME_CNTL_HALT = 1 << 28
RBBM_STATUS_BUSY = 1 << 31
COHER_STATUS_BUSY = 1 << 31
INT_STATUS_INTERRUPT_PACKET = 1 << 31

CPU_ONLY = range(Register.CP_RB_BASE, Register.CP_RB_WPTR_DELAY + 1)
"""What sets up the ring: a packet in the ring may not change it."""


def register_name(index: int) -> str:
    """The name in the manual, or the index in hexadecimal."""
    try:
        return Register(index).name
    except ValueError:
        return f"register 0x{index:04x}"

"""Xenos, the graphics processor, as far as a program computes with it; `gpu.py` is the device.

Registers by dword index, after xenia register_table.inc and libxenon xe.c; a byte offset is index x 4:

  01C0  CP_RB_BASE        physical base of the ring buffer, a multiple of 128
  01C1  CP_RB_CNTL        5-0 log2 of its quadwords, 17-16 endian mode, 27 no write-back of RPTR,
                          31 reset pointers
  01C3  CP_RB_RPTR_ADDR   where RPTR is written back; 1-0 endian mode
  01C4  CP_RB_RPTR        next dword that the command processor reads
  01C5  CP_RB_WPTR        end of what is written; the write that starts the GPU
  01DC  SCRATCH_UMSK      bit n: mirror SCRATCH_REGn to memory
  01DD  SCRATCH_ADDR      where
  01F2  CP_INT_CNTL       enabled interrupts      01F3  CP_INT_STATUS   pending ones
  01F4  CP_INT_ACK        writing ones clears     01F6  CP_ME_CNTL      28 halts the micro engine
  0578-057F  SCRATCH_REG0-7                       05C8  WAIT_UNTIL
  05D0  RBBM_STATUS       31 busy
  0A2F  COHER_SIZE_HOST   0A30  COHER_BASE_HOST   0A31  COHER_STATUS_HOST  31 starts the invalidation
  21F9  VGT_EVENT_INITIATOR                       21FC  VGT_DRAW_INITIATOR
  4000-47FF  float constants c0-c511, four dwords each
  4800-48BF  fetch constants vf0-vf95, two dwords each
  4900-4907  bool constants                       4908-4927  loop constants i0-i31

Those from 4000 on lie outside the window: packets alone reach them.
"""

from xenon.hardware.gpu.gpu import Gpu
from xenon.hardware.gpu.registers import GPU_REGISTERS

__all__ = ["GPU_REGISTERS", "Gpu"]

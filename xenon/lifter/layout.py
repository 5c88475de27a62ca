"""What compiled code works on: one C structure for each CPU, by byte offsets.

Registers are host integers: a VR is one 128-bit number whose most significant byte is element 0; CR is a byte
for each of its 32 bits. recompiler/state.py makes these structures.
"""

from __future__ import annotations

from enum import IntEnum

from xenon.lifter.slots import VR_COUNT, is_fpr, is_gpr, is_vr, number_of

GPR, FPR, VR = 0, 256, 512
PC, LR, CTR = 1024, 1032, 1040
CR = 1056  # 32 bytes
CA = 1088  # a byte, 0 or 1
STATUS = 1092  # what an exit asks for, see Status
EXTRA = 1096  # 1 when VR, SAT and CA hold the guest's values, which come through a stub in guest code
DIRTY = 1100  # bits of Dirty: what of them has changed
DEPTH = 1104  # compiled functions under way
RAM, DISPATCH = 1112, 1128  # pointers
STOP = 1136  # not 0 when compiled code is to come back (32 bits)
WANTED = 1140  # not 0 when Unicorn is to take a sample: see Instruments, which expects it behind STOP
READ_BATCH, WRITE_BATCH, WRITE = 1144, 1152, 1160  # Unicorn's functions
ENGINE_IDS, ENGINE_PLACES, PC_ID = 1168, 1176, 1184
CR_WORD, FPSCR, SKIP = 1192, 1200, 1208
EXCHANGE = 1216  # pointer to the page through which VR and XER travel
NATIVE_CALLS = 1224  # hand-overs so far
RUNNING = 1232  # 1 while compiled code runs
HELD = 1236  # 1 while the guest's registers are here and not in Unicorn: since a system call (32 bits)
FUNCTION = 1240  # the compiled function that is under way, plus OPTIMISED (see counting.py)
OPTIMISED = 1
GO_ON_AT = 1248  # where Unicorn is to go on when `resume` has left the registers to it
STOP_ENGINE = 1256  # Unicorn's function
RESERVATION, RESERVED = 1264, 1272  # what lwarx or ldarx left: see rules_synchronization.py
SAT = 1280  # VSCR's bit, a byte; comes and goes with VR
UPPER_VR = 1296  # v32 to v127, which the interpreter does not know: they are only here
# Of instructions that the interpreter hands over one by one (see alone.py): pointers to its own registers,
# to the table of functions for words, and to what is called for all that these functions do not do.
ENGINE_GPR, ENGINE_FPR, ENGINE_VR, ENGINE_CR, ENGINE_CA = 2832, 2840, 2848, 2856, 2864
ENGINE_SAT, ENGINE_PC, ENGINE_FPSCR, ENGINE_SO, ENGINE_OV = 2872, 2880, 2888, 2896, 2904
HANDED_OVER, ON_EXCEPTION = 2912, 2920
NOTES = 2928  # a byte, 1 once compiled code has done what FPSCR notes exceptions of (see exceptions.py)
COMPARES = 2929  # 1 once it has compared floating-point numbers
FLOAT_TRAPS = 2932  # not 0 where an enabled floating-point exception is to trap (32 bits)
ENGINE_NJ = 2936  # a byte: VSCR's bit NJ
OPERAND_A, OPERAND_B, OPERAND_C, RESULT = 2944, 2952, 2960, 2968  # of one instruction: see fpscr.py
ENGINE_LR, ENGINE_CTR, ENGINE_VRSAVE = 2976, 2984, 2992  # pointers to 64 bits of the interpreter's
RESOLVER = 3000  # pointer to the function that brings FPSCR up to date (see last_status.py)
LAST_FORMS = 3008  # three bytes: forms of the instructions whose effect on FPSCR is still to come
LAST_OPERANDS, LAST_CONVERTED, LAST_COMPARED = 3016, 3040, 3048  # their operands: 3, 1 and 2
SHORTEST = 3064  # RESULT rounded towards zero
SIZE = 3072

NEVER = 0xFFFF_FFFF_FFFF_FFFF
RESUME = NEVER - 1  # the address that has the hook run compiled code from the PC in the state

MOST_DEPTH = 64  # nested compiled calls: the host's stack is finite, the guest's recursion need not be

# Bits of a page's byte in the table behind RAM. "Run": the page behind it allows the same; "far": so do
# all of FAR_PAGES from this one on.
READ, READ_RUN, WRITE_ONE, WRITE_RUN, READ_FAR, WRITE_FAR = 1, 2, 4, 8, 16, 32
FAR_PAGES = 64

# The dispatch table: a pointer for each page of RAM, and one for all addresses outside it, to a block of host
# functions, one for each instruction of the page; 0 where there is none.


class Status(IntEnum):
    """What is to happen at the PC that compiled code leaves behind: by Unicorn, but for SYSTEM_CALL."""

    GO_ON = 0
    REPEAT = 1  # execute this instruction itself: it faults, or is not for compiled code
    NEED_EXTRA = 2  # fetch VR and XER, then enter compiled code again
    SYSTEM_CALL = 3  # the instruction before the PC is `sc`: serve it


class Dirty(IntEnum):
    XER = 1
    VECTORS = 2


def offset_of(register: str) -> int:
    """Where a register is in the state, by its name in powerpc/decode.py."""
    if register in ("lr", "ctr", "ca", "sat"):
        return {"lr": LR, "ctr": CTR, "ca": CA, "sat": SAT}[register]
    number = number_of(register)
    if is_gpr(register):
        return GPR + 8 * number
    if is_fpr(register):
        return FPR + 8 * number
    if is_vr(register):
        return VR + 16 * number if number < VR_COUNT else UPPER_VR + 16 * (number - VR_COUNT)
    return CR + number


def reservation_kind(size: int) -> int:
    """What a reservation of 4 or 8 bytes has in the low bits of its address."""
    return size // 4


def page_rights(write: bool) -> tuple[int, int, int]:
    """The bits of a page's byte that allow a write, or a read: in this page, in this one and the next, in
    FAR_PAGES pages."""
    return (WRITE_ONE, WRITE_RUN, WRITE_FAR) if write else (READ, READ_RUN, READ_FAR)

"""Compare and swap on RAM for Python: machine code of the host, since no library everywhere has it."""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
import threading
from collections.abc import Callable
from functools import cache

from xenon.hardware.unicorn.stop_hook import executable

CompareAndSwap = Callable[[int, int, int], int]
"""Of (host address, expected, value), numbers as the host has them there: 1 where it stored, else 0."""

_SECOND_AT = 64  # bytes from the function for 4 bytes to the one for 8

# mov eax, esi; lock cmpxchg [rdi], edx; sete al; movzx eax, al; ret
_X86_4 = bytes.fromhex("89f0 f00fb117 0f94c0 0fb6c0 c3")
_X86_8 = bytes.fromhex("4889f0 f0480fb117 0f94c0 0fb6c0 c3")
# 1: ldaxr w3, [x0]; cmp w3, w1; b.ne 2f; stlxr w4, w2, [x0]; cbnz w4, 1b; mov w0, 1; ret
# 2: clrex; mov w0, 0; ret
_ARM_END = (0x35FF_FF84, 0x5280_0020, 0xD65F_03C0, 0xD503_3F5F, 0x5280_0000, 0xD65F_03C0)
_ARM_4 = struct.pack("<10I", 0x885F_FC03, 0x6B01_007F, 0x5400_00A1, 0x8804_FC02, *_ARM_END)
_ARM_8 = struct.pack("<10I", 0xC85F_FC03, 0xEB01_007F, 0x5400_00A1, 0xC804_FC02, *_ARM_END)

_CODE = {"x86_64": (_X86_4, _X86_8), "aarch64": (_ARM_4, _ARM_8)}
_NUMBERS = {4: ctypes.c_uint32, 8: ctypes.c_uint64}
_alive: list[mmap.mmap] = []  # what the functions are in
_lock = threading.Lock()


@cache
def compare_and_swap(size: int) -> CompareAndSwap:
    """For 4 or 8 bytes at an aligned address. On hosts without machine code of ours it is one step among its
    callers only: a plain store of another thread's in between is lost."""
    code = _CODE.get(platform.machine()) if sys.platform == "linux" else None
    page = None if code is None else executable(code[0].ljust(_SECOND_AT, b"\0") + code[1])
    if page is None:
        return _under_a_lock(size)
    _alive.append(page)
    number = _NUMBERS[size]
    function = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, number, number)
    start = ctypes.addressof(ctypes.c_uint8.from_buffer(page))
    return function(start if size == 4 else start + _SECOND_AT)


def _under_a_lock(size: int) -> CompareAndSwap:
    number = _NUMBERS[size]

    def swap(address: int, expected: int, value: int) -> int:
        place = number.from_address(address)
        with _lock:
            if place.value != expected:
                return 0
            place.value = value
            return 1

    return swap

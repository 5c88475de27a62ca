"""Compare and swap on RAM for Python: machine code of the host, since no library everywhere has it."""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Callable
from functools import cache

from xenon.host.machine_code import Convention, MachineCode, convention, machine_code

CompareAndSwap = Callable[[int, int, int], int]
"""Of (host address, expected, value), numbers as the host has them there: 1 where it stored, else 0."""

_SECOND_AT = 64  # bytes from the function for 4 bytes to the one for 8

# mov eax, expected; lock cmpxchg [address], value; sete al; movzx eax, al; ret
_SYSTEM_V_4 = bytes.fromhex("89f0 f00fb117 0f94c0 0fb6c0 c3")  # [rdi], esi, edx
_SYSTEM_V_8 = bytes.fromhex("4889f0 f0480fb117 0f94c0 0fb6c0 c3")
_MICROSOFT_4 = bytes.fromhex("89d0 f0440fb101 0f94c0 0fb6c0 c3")  # [rcx], edx, r8d
_MICROSOFT_8 = bytes.fromhex("4889d0 f04c0fb101 0f94c0 0fb6c0 c3")
# 1: ldaxr w3, [x0]; cmp w3, w1; b.ne 2f; stlxr w4, w2, [x0]; cbnz w4, 1b; mov w0, 1; ret
# 2: clrex; mov w0, 0; ret
_ARM_END = (0x35FF_FF84, 0x5280_0020, 0xD65F_03C0, 0xD503_3F5F, 0x5280_0000, 0xD65F_03C0)
_ARM_4 = struct.pack("<10I", 0x885F_FC03, 0x6B01_007F, 0x5400_00A1, 0x8804_FC02, *_ARM_END)
_ARM_8 = struct.pack("<10I", 0xC85F_FC03, 0xEB01_007F, 0x5400_00A1, 0xC804_FC02, *_ARM_END)

_CODE: dict[Convention | None, tuple[bytes, bytes]] = {
    Convention.SYSTEM_V: (_SYSTEM_V_4, _SYSTEM_V_8),
    Convention.MICROSOFT: (_MICROSOFT_4, _MICROSOFT_8),
    Convention.AARCH64: (_ARM_4, _ARM_8),
}
_NUMBERS = {4: ctypes.c_uint32, 8: ctypes.c_uint64}
_alive: list[MachineCode] = []  # what the functions are in
_lock = threading.Lock()


@cache
def compare_and_swap(size: int) -> CompareAndSwap:
    """For 4 or 8 bytes at an aligned address. On hosts without machine code of ours it is one step among its
    callers only: a plain store of another thread's in between is lost."""
    code = _CODE.get(convention())
    functions = None if code is None else machine_code(code[0].ljust(_SECOND_AT, b"\0") + code[1])
    if functions is None:
        return _under_a_lock(size)
    _alive.append(functions)
    number = _NUMBERS[size]
    function = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, number, number)
    return function(functions.address if size == 4 else functions.address + _SECOND_AT)


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

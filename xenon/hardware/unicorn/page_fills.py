"""What a Unicorn engine remembers of a page of RAM when it is accessed first.

Unicorn 2.1.4 remembers the right that this access needs, and forgets the other rights of the page: code
that loads and stores in one page in turns looks the page up at each of them, which takes 40 ns. Here it
remembers the right to read and to write together, by the table of page rights behind RAM
(recompiler/state.py fills it in).
Of a page outside of RAM, and where the table says nothing, Unicorn remembers what it does by itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

import unicorn
from unicorn.unicorn_py3.unicorn import Uc

from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.hardware.unicorn.stop_hook import add_native_hook
from xenon.host.machine_code import Convention, MachineCode, convention, machine_code

_PAGE_COUNT = RAM_BYTES // PAGE_BYTES
_PAGE_SHIFT = PAGE_BYTES.bit_length() - 1
_COUNT_SHIFT = _PAGE_COUNT.bit_length() - 1
_alive: list[MachineCode] = []  # what the hook is in

# A C function of (engine, address, type, entry, table): entry.paddr = address; entry.perms =
# 1 << (type - 16), which is the right that the access needs; for a page of RAM also bit 0 of its byte as
# bit 0, and bit 2 as bit 1; return 1. UC_PROT_READ is 1, UC_PROT_WRITE 2; UC_MEM_READ is 16, UC_MEM_WRITE
# 17, UC_MEM_FETCH 18.


def _system_v() -> bytes:
    # mov r9, rcx; mov ecx, edx; mov eax, 1; shl eax, cl; shr eax, 16; mov [r9], rsi; shr rsi, shift;
    # cmp rsi, count; jae 1f; movzx edx, byte [r8+rsi]; mov ecx, edx; and ecx, 1; or eax, ecx; shr edx, 1;
    # and edx, 2; or eax, edx; 1: mov [r9+8], eax; mov eax, 1; ret
    start = bytes.fromhex("4989c9 89d1 b801000000 d3e0 c1e810 498931 48c1ee") + bytes([_PAGE_SHIFT])
    compare = bytes.fromhex("4881fe") + struct.pack("<I", _PAGE_COUNT) + bytes.fromhex("7313")
    look = bytes.fromhex("410fb61430 89d1 83e101 09c8 d1ea 83e202 09d0")
    return start + compare + look + bytes.fromhex("41894108 b801000000 c3")


def _microsoft() -> bytes:
    # mov ecx, r8d; mov eax, 1; shl eax, cl; shr eax, 16; mov [r9], rdx; shr rdx, shift; cmp rdx, count;
    # jae 1f; mov rcx, [rsp+40]; movzx edx, byte [rcx+rdx]; and on as above
    start = bytes.fromhex("4489c1 b801000000 d3e0 c1e810 498911 48c1ea") + bytes([_PAGE_SHIFT])
    compare = bytes.fromhex("4881fa") + struct.pack("<I", _PAGE_COUNT) + bytes.fromhex("7317")
    look = bytes.fromhex("488b4c2428 0fb61411 89d1 83e101 09c8 d1ea 83e202 09d0")
    return start + compare + look + bytes.fromhex("41894108 b801000000 c3")


def _arm() -> bytes:
    # str x1, [x3]; sub w2, w2, 16; mov w5, 1; lsl w5, w5, w2; lsr x1, x1, shift; lsr x6, x1, shift of count;
    # cbnz x6, 1f; ldrb w6, [x4, x1]; and w7, w6, 1; orr w5, w5, w7; lsr w6, w6, 1; and w6, w6, 2;
    # orr w5, w5, w6; 1: str w5, [x3, 8]; mov w0, 1; ret
    start = (0xF900_0061, 0x5100_4042, 0x5280_0025, 0x1AC2_20A5)
    page = (0xD340_FC21 | _PAGE_SHIFT << 16, 0xD340_FC26 | _COUNT_SHIFT << 16, 0xB500_00E6)
    look = (0x3861_6886, 0x1200_00C7, 0x2A07_00A5, 0x5301_7CC6, 0x121F_00C6, 0x2A06_00A5)
    return struct.pack("<16I", *start, *page, *look, 0xB900_0865, 0x5280_0020, 0xD65F_03C0)


_CODE: dict[Convention | None, Callable[[], bytes]] = {
    Convention.SYSTEM_V: _system_v,
    Convention.MICROSOFT: _microsoft,
    Convention.AARCH64: _arm,
}


def remember_rights(engine: Uc, table: int) -> None:
    """From now on. `table` is the host address of a byte for each page of RAM. On hosts without machine
    code of ours the engine stays as it is."""
    if (hook := _hook()) is not None:
        add_native_hook(engine, unicorn.UC_HOOK_TLB_FILL, hook, table)


@cache
def _hook() -> int | None:
    code = _CODE.get(convention())
    function = None if code is None else machine_code(code())
    if function is None:
        return None
    _alive.append(function)
    return function.address

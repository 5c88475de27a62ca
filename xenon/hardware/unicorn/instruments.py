"""What a CPU is measured with: exact counts of the instructions it executes, a call when a sample is due.

Unicorn calls the hook at each block of guest code. It adds one at the block's first address and takes one
away behind its last: running sums give the executions of every instruction, however the engine cuts its
blocks. Compiled code counts for itself, in the other table (see lifter/counting.py).
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from unicorn.unicorn_py3.unicorn import uclib

from xenon.errors import ErrorCode, XenonError
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.hardware.unicorn.stop_hook import HOOK
from xenon.host.machine_code import Convention, convention, machine_code
from xenon.host.memory import anonymous

_TABLE_BYTES = 2 * RAM_BYTES  # 64 bits for each instruction word of RAM; only pages that are used take memory
COMPILED_AT = PAGE_BYTES  # compiled code's table: entries by a jump, see the reader in profile/counts.py
UNICORN_AT = COMPILED_AT + _TABLE_BYTES
BLOCK_END_AT = PAGE_BYTES - 8  # where the block that Unicorn executes ends, in RAM
EXITS_AT = UNICORN_AT + _TABLE_BYTES  # how often compiled code has left an address to Unicorn
_SIZE = EXITS_AT + _TABLE_BYTES + PAGE_BYTES
_ADDRESS_MASK = RAM_BYTES - 4


class Instruments:
    """Of one CPU: a page of state for its engines, then the three tables.

    The 64 bits at `flag_at` are looked at before each block: the first half is not 0 while the CPU is to come
    to rest, the second while a sample is wanted.
    """

    def __init__(self, flag_at: int = 0) -> None:
        """Raises XenonError where the host gives no room for the tables."""
        try:
            self._room = anonymous(_SIZE, is_sparse=True)
        except (OSError, ValueError) as error:
            raise XenonError(
                f"a profile needs {_SIZE >> 30} GiB of address space for each hardware thread: {error}",
                "raise the limit (ulimit -v), or take fewer hardware threads",
                ErrorCode.NO_ADDRESS_SPACE,
            ) from error
        self.host_address = ctypes.addressof(ctypes.c_uint8.from_buffer(self._room))
        self.flag = ctypes.c_uint32.from_address(self.host_address + flag_at)
        self.wanted = ctypes.c_uint32.from_address(self.host_address + flag_at + 4)
        self.on_sample: Callable[[int], None] = lambda pc: None
        """Called with the PC in the CPU's own thread, which rests before a block meanwhile."""
        self.code: set[tuple[int, int]] = set()
        """Address and size of all that could be executed at any time."""
        self._end = ctypes.c_uint64.from_address(self.host_address + BLOCK_END_AT)
        self._slow = HOOK(self._on_block)
        callback = ctypes.cast(self._slow, ctypes.c_void_p).value or 0
        code = _CODE.get(convention())
        self._quick = machine_code(code(flag_at, callback)) if code else None
        self.hook: int = self._quick.address if self._quick else callback
        """A C function of (engine, address, size, `host_address`), for every block."""

    @property
    def last_instruction(self) -> int:
        """Where the block ended that Unicorn executed last; in a sample, the one before it."""
        return self._end.value - 4

    def cut(self, pc: int) -> None:
        """Unicorn has left the block at hand before the instruction at `pc`."""
        self._add(pc, -1)
        self._add(self._end.value, 1)

    def tables(self, first: int, end: int) -> tuple[memoryview, memoryview]:
        """Of the words from `first` up to `end`: the tables of Unicorn and of compiled code, 64 bits each."""
        room = memoryview(self._room)
        unicorn, compiled = (
            room[table + 2 * first : table + 2 * end].cast("q") for table in (UNICORN_AT, COMPILED_AT)
        )
        return unicorn, compiled

    def exits(self, first: int, end: int) -> memoryview:
        """The table of exits of the words from `first` up to `end`, 64 bits each."""
        return memoryview(self._room)[EXITS_AT + 2 * first : EXITS_AT + 2 * end].cast("q")

    def _on_block(self, engine: int, address: int, size: int, _: int) -> None:
        """The hook's rare half, and on hosts without machine code of their own all of it."""
        if self.wanted.value and address >> 32 == 0:  # else in a stub of the recompiler's, which comes back
            self.wanted.value = 0
            self.on_sample(address)
        if self.flag.value:
            uclib.uc_emu_stop(engine)
            return
        start = address & _ADDRESS_MASK
        self._add(start, 1)
        self._add(start + size, -1)
        self._end.value = start + size

    def _add(self, address: int, step: int) -> None:
        counter = self.host_address + UNICORN_AT + 2 * (address & _ADDRESS_MASK)
        ctypes.c_int64.from_address(counter).value += step


class _X86(NamedTuple):
    """Instructions on the block's address and size and on the state; the last four end before an offset."""

    mov_eax_address: str
    add_eax_size: str
    inc_counter: str  # qword [state + 2 * rax + offset]
    dec_counter: str
    mov_to_state_rax: str
    cmp_state: str  # qword [state + offset], with a byte


_SYSTEM_V = _X86("89f0", "01d0", "48ff8441", "48ff8c41", "488981", "4883b9")  # esi, edx, rcx
_MICROSOFT = _X86("89d0", "4401c0", "49ff8441", "49ff8c41", "498981", "4983b9")  # edx, r8d, r9


def _x86(words: _X86, flag: int, callback: int) -> bytes:
    def with_offset(opcode: str, offset: int) -> bytes:
        return bytes.fromhex(opcode) + struct.pack("<i", offset)

    count = b"".join(
        (
            bytes.fromhex(words.mov_eax_address),
            with_offset("25", _ADDRESS_MASK),  # and eax, mask
            with_offset(words.inc_counter, UNICORN_AT),
            bytes.fromhex(words.add_eax_size),
            with_offset(words.dec_counter, UNICORN_AT),
            with_offset(words.mov_to_state_rax, BLOCK_END_AT),
            bytes.fromhex("c3"),  # ret
        )
    )
    look = with_offset(words.cmp_state, flag) + bytes((0, 0x75, len(count)))  # 0; jne behind count
    return look + count + bytes.fromhex("48b8") + struct.pack("<Q", callback) + bytes.fromhex("ffe0")


def _arm(flag: int, callback: int) -> bytes:
    words = (
        0xF940_0069 | flag // 8 << 10,  # ldr x9, [x3, flag]
        0xB500_01E9,  # cbnz x9, 15 words on
        0x121E_6829,  # and w9, w1, mask
        0x5800_01EA,  # ldr x10, the table's offset, 15 words on
        0x8B0A_006A,  # add x10, x3, x10
        0x8B09_054B,  # add x11, x10, x9, lsl 1
        0xF940_016C,  # ldr x12, [x11]
        0x9100_058C,  # add x12, x12, 1
        0xF900_016C,  # str x12, [x11]
        0x0B02_0129,  # add w9, w9, w2
        0xF900_0069 | BLOCK_END_AT // 8 << 10,  # str x9, [x3, end]
        0x8B09_054B,  # add x11, x10, x9, lsl 1
        0xF940_016C,  # ldr x12, [x11]
        0xD100_058C,  # sub x12, x12, 1
        0xF900_016C,  # str x12, [x11]
        0xD65F_03C0,  # ret
        0x5800_0089,  # ldr x9, the callback, 4 words on
        0xD61F_0120,  # br x9
    )
    return struct.pack(f"<{len(words)}I", *words) + struct.pack("<QQ", UNICORN_AT, callback)


_CODE: dict[Convention | None, Callable[[int, int], bytes]] = {
    Convention.SYSTEM_V: partial(_x86, _SYSTEM_V),
    Convention.MICROSOFT: partial(_x86, _MICROSOFT),
    Convention.AARCH64: _arm,
}

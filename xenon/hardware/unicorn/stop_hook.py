"""The hook that Unicorn calls at each block of guest code: it ends the run when the CPU is to come to rest.

`emu_stop` from another thread is not exact in Unicorn 2.1.4: the run may end with PC at a load that has
been executed, and execute it twice when it goes on (tests/xenon/hardware/unicorn/test_facts.py). From a hook,
in the CPU's own thread, it ends before the block's first instruction.
The hook is machine code because Python's callback takes as long as a hundred instructions.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from functools import cache

from unicorn.unicorn_py3.unicorn import Uc, uclib

from xenon.host.machine_code import Convention, convention, machine_code

HOOK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)
"""The type of a block hook: engine, address and size of the block, and the hook's own data."""
EXCEPTION_HOOK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
"""The type of a hook for exceptions: engine, number of the exception, and the hook's own data."""
_alive: list[object] = []  # what the address points into


def _x86(flag_is_0: str, stop: int) -> bytes:
    # cmp dword [the flag], 0; jne 1f; ret; 1: mov rax, stop; jmp rax
    return bytes.fromhex(f"{flag_is_0} 7501 c3 48b8") + struct.pack("<Q", stop) + bytes.fromhex("ffe0")


def _system_v(stop: int) -> bytes:
    return _x86("833900", stop)  # [rcx]


def _microsoft(stop: int) -> bytes:
    return _x86("41833900", stop)  # [r9]


def _arm(stop: int) -> bytes:
    # ldr w9, [x3]; cbnz w9, 1f; ret; 1: ldr x9, 2f; br x9; nop; 2: stop
    words = (0xB940_0069, 0x3500_0049, 0xD65F_03C0, 0x5800_0069, 0xD61F_0120, 0xD503_201F)
    return struct.pack("<6IQ", *words, stop)


_CODE: dict[Convention | None, Callable[[int], bytes]] = {
    Convention.SYSTEM_V: _system_v,
    Convention.MICROSOFT: _microsoft,
    Convention.AARCH64: _arm,
}


@cache
def stop_hook() -> int:
    """Address of a C function of (engine, address, size, flag) that stops the engine if the 32-bit flag is
    not 0."""
    code = _CODE.get(convention())
    return _compiled(code) if code is not None else _interpreted()


def _compiled(code: Callable[[int], bytes]) -> int:
    hook = machine_code(code(ctypes.cast(uclib.uc_emu_stop, ctypes.c_void_p).value or 0))
    if hook is None:
        return _interpreted()
    _alive.append(hook)
    return hook.address


def add_native_hook(engine: Uc, kind: int, callback: int, data: int, first: int = 1, last: int = 0) -> int:
    """Call the C function at `callback` with (engine, address, size, `data`), from `first` to `last`; a
    `first` above `last` means everywhere. The hook does not reach blocks that are translated already.
    Returns what remove_native_hook takes."""
    handle = ctypes.c_size_t()
    uclib.uc_hook_add(engine._uch, ctypes.byref(handle), kind, callback, data, first, last)
    return handle.value


def remove_native_hook(engine: Uc, handle: int) -> None:
    """Call it no more."""
    uclib.uc_hook_del(engine._uch, handle)


def _interpreted() -> int:
    def stop(engine: int, _address: int, _size: int, flag: int) -> None:
        if ctypes.c_uint32.from_address(flag).value:
            uclib.uc_emu_stop(engine)

    function = HOOK(stop)
    _alive.append(function)
    return ctypes.cast(function, ctypes.c_void_p).value or 0

"""Machine code of our own in this process: where it goes, and how it takes its arguments."""

from __future__ import annotations

import ctypes
import mmap
import platform
import sys
from enum import Enum
from functools import cache

from xenon.host.memory import anonymous


class Convention(Enum):
    """How a function gets whole numbers and addresses, the first four of them; the result comes in the first
    register of the machine's.

    Sources: System V ABI for AMD64; Microsoft, x64 calling convention; Arm, Procedure Call Standard for
    AArch64, which Apple keeps for such arguments.
    """

    SYSTEM_V = "rdi rsi rdx rcx"
    MICROSOFT = "rcx rdx r8 r9"
    AARCH64 = "x0 x1 x2 x3"


_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


@cache
def convention() -> Convention | None:
    """This process's own, where code of ours can be put into it; else None. macOS on arm64 lets a program
    write code only with calls of its own (MAP_JIT), which Python lacks."""
    machine = _MACHINES.get(platform.machine().lower())
    if sys.platform == "win32":
        return Convention.MICROSOFT if machine == "x86_64" else None
    if machine == "x86_64" and sys.platform in ("linux", "darwin"):
        return Convention.SYSTEM_V
    return Convention.AARCH64 if machine == "aarch64" and sys.platform == "linux" else None


if sys.platform == "win32":
    from ctypes import wintypes

    _COMMIT_AND_RESERVE, _RELEASE, _EXECUTE_READWRITE = 0x3000, 0x8000, 0x40
    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel.VirtualAlloc.restype = ctypes.c_void_p
    _kernel.VirtualAlloc.argtypes = (ctypes.c_void_p, ctypes.c_size_t, wintypes.DWORD, wintypes.DWORD)
    _kernel.VirtualFree.argtypes = (ctypes.c_void_p, ctypes.c_size_t, wintypes.DWORD)

    class _Room:
        """Code in pages of its own, until the object goes away. Raises OSError."""

        def __init__(self, text: bytes) -> None:
            place = _kernel.VirtualAlloc(None, len(text), _COMMIT_AND_RESERVE, _EXECUTE_READWRITE)
            if not place:
                raise OSError("no memory for code")
            self.address = int(place)
            ctypes.memmove(self.address, text, len(text))

        def __del__(self) -> None:
            if hasattr(self, "address"):
                _kernel.VirtualFree(self.address, 0, _RELEASE)

else:

    class _Room:
        """Code in pages of its own, until the object goes away. Raises OSError.

        They are written first and executable then, never both: some systems insist on that. And with the
        right to execute them, Linux on arm64 lets the processor's instruction cache see what was written.
        """

        def __init__(self, text: bytes) -> None:
            size = -(-len(text) // mmap.PAGESIZE) * mmap.PAGESIZE
            self._buffer = anonymous(size)
            self._buffer[: len(text)] = text
            self.address = ctypes.addressof(ctypes.c_uint8.from_buffer(self._buffer))
            protect = ctypes.CDLL(None, use_errno=True).mprotect
            protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
            if protect(self.address, size, mmap.PROT_READ | mmap.PROT_EXEC):
                raise OSError(ctypes.get_errno(), "no memory for code")


class MachineCode:
    """Code in this process, at least a byte, for as long as the object lives; `address` is where it begins,
    a page's start. Raises OSError on a host that allows no new code."""

    def __init__(self, text: bytes) -> None:
        self._room = _Room(text)
        self.address = self._room.address


def machine_code(text: bytes) -> MachineCode | None:
    """The code in this process; None on a host that allows no new code."""
    try:
        return MachineCode(text)
    except OSError:
        return None

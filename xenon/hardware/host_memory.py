"""Address space of the host, asked for before it is needed.

Raises XenonError where a limit (ulimit -v) is in the way.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from functools import cache

from xenon.errors import ErrorCode, XenonError
from xenon.host.memory import anonymous

ENGINE_BYTES = 1152 << 20
"""What a Unicorn engine takes: 1,026 MiB at its first run, most for translations; and some to spare."""


def reserve(size: int, purpose: str) -> mmap.mmap:
    """Zeroed memory that the host commits page by page, as it is touched."""
    try:
        return anonymous(size)
    except (OSError, ValueError) as error:
        raise XenonError(
            f"{purpose} needs {size >> 20} MiB of address space: {getattr(error, 'strerror', None) or error}",
            "raise the limit (ulimit -v), or take fewer hardware threads",
            ErrorCode.NO_ADDRESS_SPACE,
        ) from error


def require_room(size: int, purpose: str) -> None:
    """Raises XenonError unless so many bytes could be reserved now. Unicorn itself would end the process."""
    reserve(size, purpose).close()


_REPEATED_BYTES = 4 << 20


def show_repeated(address: int, size: int, pattern: bytes) -> bool:
    """Show memory full of `pattern` at a host address: the same pages of the host again and again, and
    a page's own copy after the first store to it. `size` is in whole pages; the pattern's length divides a
    page. Whether the host could, whose own pages may be larger; else what is there is undefined.
    """
    if not sys.platform.startswith("linux") or (address | size) % mmap.PAGESIZE:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    rights, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_FIXED
    try:
        file = _repeated(pattern)
    except OSError:
        return False
    for place in range(address, address + size, _REPEATED_BYTES):
        length = min(_REPEATED_BYTES, address + size - place)
        if libc.mmap(place, length, rights, flags, file, 0) != place:
            return False
    return True


_MAP_FIXED = 0x10  # Linux, on every processor that Python has wheels for


@cache
def _repeated(pattern: bytes) -> int:
    """A file in memory, full of a pattern, which stays open. Raises OSError."""
    file = os.memfd_create("repeated")
    with open(file, "wb", closefd=False) as stream:
        stream.write(pattern * (_REPEATED_BYTES // len(pattern)))
    return file

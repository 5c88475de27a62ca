"""Memory of the host: private, zeroed, and taken page by page as it is touched."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import sys
from pathlib import Path

_NO_RESERVE = 0x4000  # mmap.MAP_NORESERVE has no name before Python 3.13


def anonymous(size: int, is_sparse: bool = False) -> mmap.mmap:
    """So many bytes of zeros. `is_sparse`: most of them are never touched, and a host that promises no more
    memory than it has need not count them; Windows counts them. Raises OSError, ValueError."""
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    if is_sparse and sys.platform == "linux":
        flags |= _NO_RESERVE
    return mmap.mmap(-1, size, flags=flags)


def prefer_large_pages(buffer: mmap.mmap) -> None:
    """Let the host use large pages for it, where it has them."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a host without them
            buffer.madvise(mmap.MADV_HUGEPAGE)


def give_back(buffer: mmap.mmap, first: int, end: int) -> bool:
    """Whether the host has taken back these whole pages, which are zero again; else they stay as they are."""
    if sys.platform != "linux" or first >= end:
        return False
    buffer.madvise(mmap.MADV_DONTNEED, first, end - first)
    return True


class OwnMemory:
    """This process's memory, in reads that fail where there is none. Raises OSError where the system has no
    way to do that."""

    def __init__(self) -> None:
        if sys.platform == "win32":
            self._kernel = ctypes.WinDLL("kernel32")
            self._kernel.GetCurrentProcess.restype = ctypes.c_void_p
            words = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
            self._kernel.ReadProcessMemory.argtypes = words
            return
        self._file = Path("/proc/self/mem").open("rb", buffering=0)  # noqa: SIM115

    def read(self, address: int, size: int) -> bytes:
        """So many bytes at an address, or fewer. Raises OSError where nothing is."""
        if sys.platform == "win32":
            data, count = ctypes.create_string_buffer(size), ctypes.c_size_t()
            process = self._kernel.GetCurrentProcess()
            self._kernel.ReadProcessMemory(process, address, data, size, ctypes.byref(count))
            return data.raw[: count.value]
        try:
            return os.pread(self._file.fileno(), size, address)
        except OverflowError as error:
            raise OSError("no such address") from error

    def close(self) -> None:
        if sys.platform != "win32":
            self._file.close()

    def __enter__(self) -> OwnMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

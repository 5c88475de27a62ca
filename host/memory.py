"""Memory of the host: private, zeroed, and taken page by page as it is touched."""

from __future__ import annotations

import contextlib
import mmap
import sys

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

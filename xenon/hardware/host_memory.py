"""Address space of the host, asked for before it is needed.

Raises XenonError where a limit (ulimit -v) is in the way.
"""

from __future__ import annotations

import mmap

from xenon.errors import ErrorCode, XenonError

ENGINE_BYTES = 1152 << 20
"""What a Unicorn engine takes: 1,026 MiB at its first run, most for translations; and some to spare."""


def reserve(size: int, purpose: str, flags: int = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) -> mmap.mmap:
    """Zeroed memory that the host commits page by page, as it is touched."""
    try:
        return mmap.mmap(-1, size, flags=flags)
    except (OSError, ValueError) as error:
        raise XenonError(
            f"{purpose} needs {size >> 20} MiB of address space: {getattr(error, 'strerror', None) or error}",
            "raise the limit (ulimit -v), or take fewer hardware threads",
            ErrorCode.NO_ADDRESS_SPACE,
        ) from error


def require_room(size: int, purpose: str) -> None:
    """Raises XenonError unless so many bytes could be reserved now. Unicorn itself would end the process."""
    reserve(size, purpose).close()

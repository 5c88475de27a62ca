"""Compiled code on disk, in the user's cache folder: checksummed, written atomically, bounded in size.

A file is a line of magic, the SHA-256 of the content, and the content. Any other file is ignored and written
anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

_MAGIC = b"xenon-llm code 1\n"
_DIGEST_BYTES = 32
MOST_BYTES = 64 * 1024 * 1024


def cache_folder() -> Path:
    """XDG_CACHE_HOME/xenon-llm/code, ~/.cache/xenon-llm/code where that is not set."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if home and Path(home).is_absolute() else Path.home() / ".cache"
    return base / "xenon-llm" / "code"


@dataclass(frozen=True, slots=True)
class Usage:
    """Files in the cache, and their size in bytes."""

    files: int
    size: int


class CodeCache:
    """Bytes by key. A folder that cannot be read or written is an empty cache, never an error."""

    def __init__(self, folder: Path | None = None, most_bytes: int = MOST_BYTES) -> None:
        self.folder = cache_folder() if folder is None else folder
        self._most = most_bytes

    def get(self, key: str) -> bytes | None:
        """What `put` stored; None if it is missing, unreadable or damaged."""
        path = self._path(key)
        try:
            data = path.read_bytes()
            with contextlib.suppress(OSError):
                os.utime(path)  # the oldest go first
        except OSError:
            return None
        start = len(_MAGIC) + _DIGEST_BYTES
        digest = data[len(_MAGIC) : start]
        if not data.startswith(_MAGIC) or digest != hashlib.sha256(data[start:]).digest():
            return None
        return data[start:]

    def put(self, key: str, data: bytes) -> None:
        """Store, and delete the least recently used files beyond the size that is allowed."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=".new-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_MAGIC + hashlib.sha256(data).digest() + data)
                Path(name).replace(self._path(key))
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            self._trim()
        except OSError:
            return

    def usage(self) -> Usage:
        """What the cache holds."""
        sizes = [size for _, size, _ in self._files()]
        return Usage(len(sizes), sum(sizes))

    def clear(self) -> Usage:
        """Delete everything; returns what that was. Raises OSError for a file that cannot be deleted."""
        before = self.usage()
        for _, _, path in self._files():
            path.unlink(missing_ok=True)
        return before

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.code"

    def _files(self) -> list[tuple[float, int, Path]]:
        """(time of last use, size, path) of the cache's own files, the oldest first."""
        files = []
        for pattern in ("*.code", ".new-*"):
            for path in self.folder.glob(pattern):
                with contextlib.suppress(OSError):
                    status = path.stat()
                    files.append((status.st_mtime, status.st_size, path))
        return sorted(files)

    def _trim(self) -> None:
        files = self._files()
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= self._most:
                return
            path.unlink(missing_ok=True)
            total -= size

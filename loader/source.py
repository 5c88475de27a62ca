"""A regular file read at given offsets. Every error of the operating system becomes a LoaderError."""

from __future__ import annotations

import os
import stat
import weakref
from pathlib import Path

from loader.errors import LoaderError
from xenon.host.files import open_to_read, read_at, reason

_KINDS = (
    (stat.S_ISDIR, "is a directory"),
    (stat.S_ISFIFO, "is a pipe"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)


class Source:
    """An open regular file.

    Nothing is read until asked for. The descriptor closes with `close()` or when the object goes away.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open `path`; raises LoaderError if it is missing, unreadable or no regular file."""
        self.path = Path(path)
        try:
            self._descriptor = open_to_read(self.path)
        except IsADirectoryError as error:
            raise self._no_file("is a directory") from error
        except (OSError, ValueError) as error:
            raise LoaderError(f"{self.path}: {reason(error)}") from error
        self.close = weakref.finalize(self, os.close, self._descriptor)
        self._status = os.fstat(self._descriptor)
        for test, what in _KINDS:
            if test(self._status.st_mode):
                self.close()
                raise self._no_file(what)
        self.size = self._status.st_size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes at `offset`; raises LoaderError if the file has become shorter."""
        done = 0
        while done < len(buffer):
            try:
                count = read_at(self._descriptor, buffer[done:], offset + done)
            except OSError as error:
                raise LoaderError(f"{self.path}: byte {offset + done}: {reason(error)}") from error
            if count == 0:
                raise LoaderError(
                    f"{self.path}: became shorter while it was read, byte {offset + done} is gone"
                )
            done += count

    def read(self, offset: int, count: int) -> bytes:
        """At most `count` bytes at `offset`, fewer where the file ends."""
        data = bytearray(max(0, min(count, self.size - offset)))
        self.read_into(offset, memoryview(data))
        return bytes(data)

    def check_unchanged(self) -> None:
        """Raises LoaderError if the file was written to, or another took its path, since it was opened."""
        try:
            now = os.fstat(self._descriptor)
            same = os.path.samestat(self.path.stat(), now)
        except OSError as error:
            raise LoaderError(f"{self.path}: {reason(error)}") from error
        if not same or (now.st_size, now.st_mtime_ns) != (self._status.st_size, self._status.st_mtime_ns):
            raise LoaderError(
                f"{self.path}: changed while it was read: found {now.st_size} bytes, expected the file"
                f" of {self.size} bytes that was opened",
                "try again when nothing writes to it",
            )

    def _no_file(self, what: str) -> LoaderError:
        return LoaderError(f"{self.path}: {what}, expected a file", "give the path of a regular file")

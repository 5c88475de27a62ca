"""A file of this computer that comes from outside: opened without waiting, read within bounds.

Nothing is mapped: a mapped file that becomes shorter would end the process.
"""

from __future__ import annotations

import os
import stat
import weakref
from pathlib import Path
from typing import BinaryIO

from xenon.errors import XenonError, reason
from xenon.host.files import let_wait, open_to_read, read_at
from xenon.host.streams import read_up_to

MIB = 1 << 20
_PIECE = 1 << 20
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class InputFile:
    """An open regular file; with `pipes` also a pipe that somebody writes to.

    `size` in bytes is what the file had when it was opened. The descriptor closes with `close()` or when the
    object goes away. Raises XenonError, which names the file, for whatever cannot be opened or read; `hint`
    goes with what is no file.
    """

    def __init__(self, path: Path | str, hint: str = "", pipes: bool = False) -> None:
        self.path = path
        try:
            self._descriptor = open_to_read(path)
        except IsADirectoryError as error:
            raise XenonError(f"{path}: is a directory", hint) from error
        except OSError as error:
            raise XenonError(f"{path}: {reason(error)}") from error
        except ValueError as error:  # such as a zero byte in the name
            raise XenonError(f"{str(path)!r}: {error}") from error
        self.close = weakref.finalize(self, os.close, self._descriptor)
        status = os.fstat(self._descriptor)
        self.size = status.st_size
        if stat.S_ISDIR(status.st_mode):
            raise XenonError(f"{path}: is a directory", hint)
        for test, kind in _KINDS:
            if test(status.st_mode) and not (pipes and kind == "a pipe"):
                raise XenonError(f"{path}: is not a regular file but {kind}", hint)
        self._read_ahead = self._first_of_pipe(hint) if stat.S_ISFIFO(status.st_mode) else b""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes from `offset`; the file must have them still."""
        done = 0
        while done < len(buffer):
            try:
                count = read_at(self._descriptor, buffer[done:], offset + done)
            except OSError as error:
                raise XenonError(f"{self.path}: byte {offset + done}: {reason(error)}") from error
            if count == 0:
                raise XenonError(
                    f"{self.path}: byte {offset + done}: the file ends, expected {self.size} bytes"
                )
            done += count

    def head(self, count: int) -> bytes:
        """The first `count` bytes, fewer where the file is shorter."""
        data = bytearray(count)
        try:
            return bytes(data[: read_at(self._descriptor, memoryview(data), 0)])
        except OSError as error:
            raise XenonError(f"{self.path}: {reason(error)}") from error

    def read(self, limit: int, expected: str) -> bytes:
        """All bytes, to the end. Raises XenonError for more than `limit`, a number of MiB, naming what was
        `expected`: `a program`."""
        if self.size > limit:
            raise _too_large(str(self.path), f"{self.size} bytes", limit, expected)
        parts = [self._read_ahead]
        left = limit + 1 - len(self._read_ahead)
        while left:
            try:
                part = os.read(self._descriptor, min(left, max(self.size, _PIECE)))
            except OSError as error:
                raise XenonError(f"{self.path}: {reason(error)}") from error
            if not part:
                return b"".join(parts)
            parts.append(part)
            left -= len(part)
        raise _too_large(str(self.path), f"more than {limit} bytes", limit, expected)

    def _first_of_pipe(self, hint: str) -> bytes:
        try:
            data = os.read(self._descriptor, _PIECE)
        except BlockingIOError:  # a writer that has written nothing yet
            data = b""
        else:
            if not data:
                raise XenonError(f"{self.path}: is a pipe that nobody writes to", hint)
        let_wait(self._descriptor)
        return data

    def __enter__(self) -> InputFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_stream(stream: BinaryIO, name: str, limit: int, expected: str) -> bytes:
    """All bytes of a stream, to its end. Raises XenonError for more than `limit`, a number of MiB."""
    try:
        data = read_up_to(stream, limit + 1)
    except OSError as error:
        raise XenonError(f"{name}: {reason(error)}") from error
    if len(data) > limit:
        raise _too_large(name, f"more than {limit} bytes", limit, expected)
    return data


def _too_large(name: str, size: str, limit: int, expected: str) -> XenonError:
    return XenonError(f"{name}: {size}, expected {expected} of at most {limit // MIB} MiB")

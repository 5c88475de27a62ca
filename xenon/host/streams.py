"""Streams to read from: whether there is something to read, and how to wait for it."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import socket

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    _FILE_TYPE_PIPE, _FILE_TYPE_CHAR = 3, 2
    _FIRST_NAP, _LONGEST_NAP = 0.0005, 0.01  # seconds between two looks
    _LOOK = 0.1  # seconds after which a signal is served
    _PIECE = 1 << 20  # bytes
    _MOST_TYPED = 1 << 16  # bytes
    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel.GetFileType.argtypes = (wintypes.HANDLE,)
    _kernel.PeekNamedPipe.argtypes = (
        *(wintypes.HANDLE, wintypes.LPVOID, wintypes.DWORD, wintypes.LPDWORD, wintypes.LPDWORD),
        wintypes.LPDWORD,
    )

    class Input:
        """A descriptor to read from, One thread reads; any may wait.

        A pipe is asked what it holds. A console reads a line only in a call that waits for it, which is left
        to a thread: what was typed but not read stays with this object.
        """

        def __init__(self, descriptor: int) -> None:
            self._descriptor = descriptor
            self._handle = msvcrt.get_osfhandle(descriptor)
            self._type = _kernel.GetFileType(self._handle)
            self._typed: list[bytes] = []
            self._has_typed = threading.Event()
            self._typing: threading.Thread | None = None

        def wait(self, seconds: float) -> bool:
            """Whether there is input or its end, after at most so many seconds."""
            if self._type == _FILE_TYPE_CHAR:
                return self._wait_for_line(seconds)
            if self._type != _FILE_TYPE_PIPE:
                return True
            end, nap = time.monotonic() + seconds, _FIRST_NAP
            while not self._pipe_holds_bytes():
                left = end - time.monotonic()
                if left <= 0:
                    return False
                time.sleep(min(nap, left))
                nap = min(2 * nap, _LONGEST_NAP)
            return True

        def read(self, count: int) -> bytes:
            """Up to so many bytes, waiting for the first; none at the end. Raises OSError."""
            if self._type != _FILE_TYPE_CHAR:
                return os.read(self._descriptor, count)
            self._wait_for_line(None)
            line = self._typed[0]
            self._typed[0] = line[count:]
            if not self._typed[0]:
                self._typed.clear()
                self._has_typed.clear()
                self._typing = None
            return line[:count]

        def _pipe_holds_bytes(self) -> bool:
            available = wintypes.DWORD()
            known = _kernel.PeekNamedPipe(self._handle, None, 0, None, ctypes.byref(available), None)
            return not known or available.value > 0  # else the other end is closed

        def _wait_for_line(self, seconds: float | None) -> bool:
            if self._typing is None:
                self._typing = threading.Thread(target=self._read_line, daemon=True)
                self._typing.start()
            return self._has_typed.wait(seconds)

        def _read_line(self) -> None:
            try:
                line = os.read(self._descriptor, _MOST_TYPED)
            except OSError:
                line = b""
            self._typed.append(line)
            self._has_typed.set()

    def read_up_to(stream: BinaryIO, count: int) -> bytes:
        """So many bytes, fewer where the stream ends. Ctrl-C ends the wait for them, as it does not end a
        call of the system that reads. Raises OSError."""
        try:
            source = Input(stream.fileno())
        except OSError:  # bytes in memory
            return stream.read(count)
        parts: list[bytes] = []
        while count:
            while not source.wait(_LOOK):
                pass
            parts.append(source.read(min(count, _PIECE)))
            if not parts[-1]:
                break
            count -= len(parts[-1])
        return b"".join(parts)

else:
    import select

    class Input:
        """A descriptor to read from. One thread reads; any may wait."""

        def __init__(self, descriptor: int) -> None:
            self._descriptor = descriptor

        def wait(self, seconds: float) -> bool:
            """Whether there is input or its end, after at most so many seconds."""
            if sys.platform == "darwin":  # whose poll knows no terminals
                return bool(select.select([self._descriptor], [], [], seconds)[0])
            waiter = select.poll()
            waiter.register(self._descriptor, select.POLLIN)
            return bool(waiter.poll(seconds * 1000))

        def read(self, count: int) -> bytes:
            """Up to so many bytes, waiting for the first; none at the end. Raises OSError."""
            return os.read(self._descriptor, count)

    def read_up_to(stream: BinaryIO, count: int) -> bytes:
        """So many bytes, fewer where the stream ends. Raises OSError."""
        return stream.read(count)


def listen_again(listener: socket.socket) -> None:
    """Let it listen at a port that a server has just left. On Windows that is so, and the option that does it
    elsewhere would share the port with any other program."""
    if sys.platform != "win32":
        import socket

        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


__all__ = ["Input", "listen_again", "read_up_to"]

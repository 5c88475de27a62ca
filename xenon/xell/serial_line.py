"""The cable between the console's UART and whoever reads it."""

from __future__ import annotations

import threading
import time

MOST_WAITING = 64 << 10
"""Bytes that wait for the reader; then the program waits."""
_NAP = 0.002  # seconds: less than a reader sees


class SerialLine:
    """Bytes from the hardware threads to one reader, and the end of the run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._data = bytearray()
        self._something = threading.Event()  # is there to take
        self._has_room = threading.Condition(self._lock)
        self._is_over = False

    def send(self, data: bytes) -> None:
        """Hand bytes over, waiting while the reader is far behind. Nothing is sent after the end."""
        with self._lock:
            while len(self._data) >= MOST_WAITING and not self._is_over:
                self._has_room.wait()
            if self._is_over:
                return
            was_empty = not self._data
            self._data += data
        if was_empty:
            self._something.set()

    def end(self) -> None:
        """The console is switched off, or stopped."""
        with self._lock:
            self._is_over = True
            self._has_room.notify_all()
        self._something.set()

    def take(self, seconds: float) -> tuple[bytes, bool]:
        """What has come, waiting so long for something; and whether that is all.

        Behind the first byte the reader sleeps for a moment, so that the program wakes it for many at once.
        """
        if self._something.wait(seconds) and not self._is_over:
            time.sleep(_NAP)
        with self._lock:
            data = bytes(self._data)
            self._data.clear()
            if not self._is_over:
                self._something.clear()
            self._has_room.notify_all()
            return data, self._is_over

"""The cable between the console's UART and whoever reads it."""

from __future__ import annotations

import threading

MOST_WAITING = 64 << 10
"""Bytes that wait for the reader; then the program waits."""


class SerialLine:
    """Bytes from the hardware threads to one reader, and the end of the run."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._data = bytearray()
        self._is_over = False

    def send(self, data: bytes) -> None:
        """Hand bytes over, waiting while the reader is far behind. Nothing is sent after the end."""
        with self._changed:
            while len(self._data) >= MOST_WAITING and not self._is_over:
                self._changed.wait()
            if not self._is_over:
                self._data += data
                self._changed.notify_all()

    def end(self) -> None:
        """The console is switched off, or stopped."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def take(self, seconds: float) -> tuple[bytes, bool]:
        """What has come, waiting so long for something; and whether that is all."""
        with self._changed:
            if not self._data and not self._is_over:
                self._changed.wait(seconds)
            data = bytes(self._data)
            self._data.clear()
            self._changed.notify_all()
            return data, self._is_over

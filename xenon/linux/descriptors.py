"""The table of open descriptors, which all threads of a program share."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

from xenon.linux.files import OpenDevice, OpenDirectory, OpenFile
from xenon.linux.terminal import STDERR, STDIN, STDOUT
from xenon.linux.uapi import Error, GuestError

MOST_DESCRIPTORS = 256


class TerminalEnd(NamedTuple):
    """An open descriptor of the terminal: STDIN, STDOUT, STDERR or one of the console's pipes."""

    stream: int


Description = TerminalEnd | OpenFile | OpenDirectory | OpenDevice


class Descriptors:
    """Number: what is open under it. `pipes` are open besides the standard streams.

    A lock guards the table for as long as one change of it takes.
    """

    def __init__(self, pipes: Iterable[int] = ()) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, Description] = {
            number: TerminalEnd(number) for number in (STDIN, STDOUT, STDERR, *pipes)
        }

    def get(self, number: int) -> Description | None:
        """What is open under this number."""
        return self._open.get(number)

    def description(self, number: int) -> Description:
        """What is open under this number. Raises GuestError(EBADF)."""
        description = self._open.get(number)
        if description is None:
            raise GuestError(Error.EBADF)
        return description

    def file(self, number: int) -> OpenFile:
        """The open file of a descriptor. Raises GuestError: EBADF, EISDIR, ESPIPE for the terminal and
        devices."""
        description = self.description(number)
        if isinstance(description, TerminalEnd | OpenDevice):
            raise GuestError(Error.ESPIPE)
        if isinstance(description, OpenDirectory):
            raise GuestError(Error.EISDIR)
        return description

    def add(self, description: Description, lowest: int = 0) -> int:
        """Open under the lowest free number from `lowest`; that number. Raises GuestError(EMFILE)."""
        with self._lock:
            for number in range(lowest, MOST_DESCRIPTORS):
                if number not in self._open:
                    self._open[number] = description
                    return number
        raise GuestError(Error.EMFILE)

    def copy(self, number: int, target: int) -> Description | None:
        """Open under `target`, too, in place of what was there; that, if it is open no more. Raises
        GuestError(EBADF)."""
        with self._lock:
            description = self.description(number)
            if not 0 <= target < MOST_DESCRIPTORS:
                raise GuestError(Error.EBADF)
            before = self._open.get(target)
            self._open[target] = description
            return self._unless_open(before)

    def close(self, number: int) -> Description | None:
        """What was open under this number, if it is open no more. Raises GuestError(EBADF)."""
        with self._lock:
            description = self.description(number)
            del self._open[number]
            return self._unless_open(description)

    def _unless_open(self, description: Description | None) -> Description | None:
        return None if any(other is description for other in self._open.values()) else description

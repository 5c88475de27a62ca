"""Clocks and durations as system calls name them."""

from __future__ import annotations

from xenon.linux.process import Process
from xenon.linux.terminal import Cancelled
from xenon.linux.uapi import TIMESPEC, WORD_MASK, Error, GuestError

NANOSECONDS = 1_000_000_000  # in a second
_CLOCK_REALTIME = frozenset({0, 5})  # and its coarse form
_CLOCK_MONOTONIC = frozenset({1, 4, 6, 7})  # plain, raw, coarse, since boot
_CLOCK_USED = frozenset({2, 3})  # of process and thread: since the start, the console runs nothing else


def time_used(process: Process) -> int:
    """Nanoseconds since the program's start."""
    return process.clock.monotonic() - process.started


def clock_time(process: Process, clock: int) -> int:
    """What a clock shows, in nanoseconds. Raises GuestError(EINVAL)."""
    if clock in _CLOCK_REALTIME:
        return process.clock.realtime()
    if clock in _CLOCK_MONOTONIC:
        return process.clock.monotonic()
    if clock in _CLOCK_USED:
        return time_used(process)
    raise GuestError(Error.EINVAL)


def read_duration(process: Process, address: int) -> int:
    """A struct timespec in nanoseconds. Raises GuestError: EFAULT, EINVAL."""
    seconds, nanoseconds = TIMESPEC.unpack(process.space.read(address, TIMESPEC.size))
    if seconds < 0 or not 0 <= nanoseconds < NANOSECONDS:
        raise GuestError(Error.EINVAL)
    return min(int(seconds) * NANOSECONDS + int(nanoseconds), WORD_MASK >> 1)


def sleep(process: Process, nanoseconds: int) -> None:
    """Let time pass. Raises Cancelled when the machine is stopped meanwhile."""
    if process.clock.wait(nanoseconds, process.stopping):
        raise Cancelled

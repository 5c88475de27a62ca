"""System calls about time: clocks, and sleeping."""

from __future__ import annotations

import struct

from xenon.linux.arguments import Function, Int, Pointer
from xenon.linux.process import Process
from xenon.linux.timing import NANOSECONDS, clock_time, read_duration, sleep, time_used
from xenon.linux.uapi import CLOCK_TICKS, pack_rusage, pack_timespec, pack_timeval

_TIMER_ABSOLUTE = 1


def getrusage(process: Process, _who: Int, address: Pointer) -> int:
    process.space.write(address, pack_rusage(time_used(process)))
    return 0


def times(process: Process, address: Pointer) -> int:
    ticks = time_used(process) * CLOCK_TICKS // NANOSECONDS
    if address:
        process.space.write(address, struct.pack(">4q", ticks, 0, 0, 0))
    return ticks


def clock_gettime(process: Process, clock: Int, address: Pointer) -> int:
    process.space.write(address, pack_timespec(clock_time(process, clock)))
    return 0


def clock_getres(process: Process, clock: Int, address: Pointer) -> int:
    clock_time(process, clock)
    if address:
        process.space.write(address, pack_timespec(1))
    return 0


def gettimeofday(process: Process, address: Pointer, zone: Pointer) -> int:
    if address:
        process.space.write(address, pack_timeval(process.clock.realtime()))
    if zone:
        process.space.write(zone, bytes(8))
    return 0


def time(process: Process, address: Pointer) -> int:
    seconds = process.clock.realtime() // NANOSECONDS
    if address:
        process.space.write(address, struct.pack(">q", seconds))
    return seconds


def nanosleep(process: Process, wanted: Pointer, _left: Pointer) -> int:
    sleep(process, read_duration(process, wanted))
    return 0


def clock_nanosleep(process: Process, clock: Int, flags: Int, wanted: Pointer, _left: Pointer) -> int:
    now = clock_time(process, clock)
    duration = read_duration(process, wanted)
    sleep(process, max(0, duration - now) if flags & _TIMER_ABSOLUTE else duration)
    return 0


CALLS: dict[str, Function] = {
    call.__name__: call
    for call in (
        getrusage, times, clock_gettime, clock_getres, gettimeofday, time, nanosleep, clock_nanosleep
    )
}  # fmt: skip

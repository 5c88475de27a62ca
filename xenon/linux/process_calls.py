"""System calls about the program itself: its end, identity, signals, limits, time and chance."""

from __future__ import annotations

import struct
from collections.abc import Callable

from xenon.hardware.memory import Owner
from xenon.linux.loading import STACK_GUARD_BYTES, USER_ID
from xenon.linux.owners import owner_named
from xenon.linux.process import MOST_DESCRIPTORS, PROCESS_ID, Exit, Process, Refusal
from xenon.linux.uapi import (
    CLOCK_TICKS,
    IGNORED_SIGNALS,
    RLIMIT,
    RLIMIT_DESCRIPTORS,
    RLIMIT_INFINITY,
    RLIMIT_STACK,
    SIGACTION_BYTES,
    SIGALTSTACK,
    SIGNAL_COUNT,
    SIGNAL_IGNORE,
    TIMESPEC,
    WORD_MASK,
    Error,
    GuestError,
    Signal,
    pack_rusage,
    pack_sysinfo,
    pack_timespec,
    pack_timeval,
    pack_uname,
    signed,
)

_NANOSECONDS = 1_000_000_000
_CLOCK_REALTIME = frozenset({0, 5})  # and its coarse form
_CLOCK_MONOTONIC = frozenset({1, 4, 6, 7})  # plain, raw, coarse, since boot
_CLOCK_USED = frozenset(
    {2, 3}
)  # time used by process and thread: since the start, the console runs nothing else
_TIMER_ABSOLUTE = 1
_FUTEX_WAIT, _FUTEX_WAKE, _FUTEX_WAIT_BITSET, _FUTEX_WAKE_BITSET, _FUTEX_COMMANDS = 0, 1, 9, 10, 0x7F
_LONGEST_RANDOM = 1 << 20  # bytes in one call; a caller asks again for the rest
_SIGNAL_BLOCK, _SIGNAL_UNBLOCK, _SIGNAL_SET = 0, 1, 2
_SET_NAME, _SET_MAPPING, _MAPPING_NAME = 15, 0x53564D41, 0  # PR_SET_NAME, PR_SET_VMA, PR_SET_VMA_ANON_NAME
_LONGEST_MAPPING_NAME = 80  # bytes, as on Linux


def exit_(_process: Process, status: int) -> int:
    raise Exit(status & 0xFF)


def kill(_process: Process, target: int, signal: int) -> int:
    if signed(target, 32) not in (PROCESS_ID, 0, -1):
        raise GuestError(Error.EPERM)
    return _raise(_process, signal)


def tkill(process: Process, thread: int, signal: int) -> int:
    return kill(process, thread, signal)


def tgkill(process: Process, _group: int, thread: int, signal: int) -> int:
    return kill(process, thread, signal)


def _raise(process: Process, number: int) -> int:
    if number > SIGNAL_COUNT:
        raise GuestError(Error.EINVAL)
    action = process.signal_actions.get(number, bytes(SIGACTION_BYTES))
    handler = struct.unpack_from(">Q", action)[0]
    if number == 0 or handler == SIGNAL_IGNORE or (handler == 0 and number in IGNORED_SIGNALS):
        return 0
    name = Signal(number).name if number in Signal.__members__.values() else f"signal {number}"
    if handler:
        raise Refusal(
            f"the program sends itself {name} to run its handler; the kernel runs no signal handlers"
        )
    how = "aborted" if number == Signal.SIGABRT else "ended itself"
    raise Refusal(f"the program {how} ({name})", exit_code=128 + number)


def rt_sigaction(process: Process, number: int, new: int, old: int, _size: int) -> int:
    if not 1 <= number <= SIGNAL_COUNT:
        raise GuestError(Error.EINVAL)
    before = process.signal_actions.get(number, bytes(SIGACTION_BYTES))
    if new:
        if number == Signal.SIGKILL:
            raise GuestError(Error.EINVAL)
        process.signal_actions[number] = process.space.read(new, SIGACTION_BYTES)
    if old:
        process.space.write(old, before)
    return 0


def rt_sigprocmask(process: Process, how: int, new: int, old: int, _size: int) -> int:
    before = process.signal_mask
    if new:
        (change,) = struct.unpack(">Q", process.space.read(new, 8))
        masks = {_SIGNAL_BLOCK: before | change, _SIGNAL_UNBLOCK: before & ~change, _SIGNAL_SET: change}
        if how not in masks:
            raise GuestError(Error.EINVAL)
        process.signal_mask = masks[how]
    if old:
        process.space.write(old, struct.pack(">Q", before))
    return 0


def sigaltstack(process: Process, new: int, old: int) -> int:
    before = process.signal_stack
    if new:
        process.signal_stack = process.space.read(new, SIGALTSTACK.size)
    if old:
        process.space.write(old, before)
    return 0


def process_id(_process: Process) -> int:
    return PROCESS_ID


def user_id(_process: Process) -> int:
    return USER_ID


def nothing(_process: Process) -> int:
    return 0


def uname(process: Process, address: int) -> int:
    process.space.write(address, pack_uname())
    return 0


def sysinfo(process: Process, address: int) -> int:
    memory = process.space.memory
    process.space.write(address, pack_sysinfo(_used(process) // _NANOSECONDS, memory.size, memory.available))
    return 0


def prctl(process: Process, option: int, what: int, address: int, _size: int, name: int) -> int:
    """The thread's name, which nobody reads, and the name of a mapping, which memory's account shows."""
    if option == _SET_MAPPING and what == _MAPPING_NAME:
        region = process.space.memory.region_at(address)
        if region is None or region.owner is Owner.SYSTEM or region.address != address:
            raise GuestError(Error.EINVAL)
        given = process.space.read_string(name, _LONGEST_MAPPING_NAME).decode("ascii", "replace")
        owner, purpose = owner_named(given)
        renamed = process.space.memory.rename(region, purpose or region.purpose, owner)
        process.heap = renamed if process.heap == region else process.heap
    elif option != _SET_NAME:
        raise GuestError(Error.EINVAL)
    return 0


def getrlimit(process: Process, resource: int, address: int) -> int:
    limits = {
        RLIMIT_STACK: process.loaded.stack.size - STACK_GUARD_BYTES,
        RLIMIT_DESCRIPTORS: MOST_DESCRIPTORS,
    }
    limit = limits.get(resource, RLIMIT_INFINITY)
    process.space.write(address, RLIMIT.pack(limit, limit))
    return 0


def prlimit64(process: Process, target: int, resource: int, new: int, old: int) -> int:
    if signed(target, 32) not in (0, PROCESS_ID) or new:
        raise GuestError(Error.EPERM)
    return getrlimit(process, resource, old) if old else 0


def getrusage(process: Process, _who: int, address: int) -> int:
    process.space.write(address, pack_rusage(_used(process)))
    return 0


def times(process: Process, address: int) -> int:
    ticks = _used(process) * CLOCK_TICKS // _NANOSECONDS
    if address:
        process.space.write(address, struct.pack(">4q", ticks, 0, 0, 0))
    return ticks


def sched_getaffinity(process: Process, _target: int, size: int, address: int) -> int:
    if size < 8:
        raise GuestError(Error.EINVAL)
    process.space.write(address, struct.pack(">Q", (1 << process.cpu_count) - 1))
    return 8


def clock_gettime(process: Process, clock: int, address: int) -> int:
    process.space.write(address, pack_timespec(_now(process, clock)))
    return 0


def clock_getres(process: Process, clock: int, address: int) -> int:
    _now(process, clock)
    if address:
        process.space.write(address, pack_timespec(1))
    return 0


def gettimeofday(process: Process, address: int, zone: int) -> int:
    if address:
        process.space.write(address, pack_timeval(process.clock.realtime()))
    if zone:
        process.space.write(zone, bytes(8))
    return 0


def time(process: Process, address: int) -> int:
    seconds = process.clock.realtime() // _NANOSECONDS
    if address:
        process.space.write(address, struct.pack(">q", seconds))
    return seconds


def nanosleep(process: Process, wanted: int, _left: int) -> int:
    process.clock.sleep(_duration(process, wanted), process.cancelled)
    return 0


def clock_nanosleep(process: Process, clock: int, flags: int, wanted: int, _left: int) -> int:
    now = _now(process, clock)
    duration = _duration(process, wanted)
    process.clock.sleep(max(0, duration - now) if flags & _TIMER_ABSOLUTE else duration, process.cancelled)
    return 0


def getrandom(process: Process, address: int, size: int, _flags: int) -> int:
    size = min(size, _LONGEST_RANDOM)
    with process.space.writing(address, size) as target:
        target[:] = process.entropy(size)
    return size


def futex(process: Process, address: int, operation: int, value: int, limit: int) -> int:
    """One thread runs: nobody is there to be woken, and nobody who could wake."""
    command = operation & _FUTEX_COMMANDS
    if command in (_FUTEX_WAKE, _FUTEX_WAKE_BITSET):
        return 0
    if command not in (_FUTEX_WAIT, _FUTEX_WAIT_BITSET):
        raise GuestError(Error.ENOSYS)
    (found,) = struct.unpack(">I", process.space.read(address, 4))
    if found != value & 0xFFFF_FFFF:
        raise GuestError(Error.EAGAIN)
    if not limit:
        raise Refusal(f"the only thread waits for ever at the lock 0x{address:x}")
    duration = _duration(process, limit)
    if command == _FUTEX_WAIT_BITSET:
        duration = max(0, duration - process.clock.monotonic())
    process.clock.sleep(duration, process.cancelled)
    raise GuestError(Error.ETIMEDOUT)


def _used(process: Process) -> int:
    return process.clock.monotonic() - process.started


def _now(process: Process, clock: int) -> int:
    if clock in _CLOCK_REALTIME:
        return process.clock.realtime()
    if clock in _CLOCK_MONOTONIC:
        return process.clock.monotonic()
    if clock in _CLOCK_USED:
        return _used(process)
    raise GuestError(Error.EINVAL)


def _duration(process: Process, address: int) -> int:
    seconds, nanoseconds = TIMESPEC.unpack(process.space.read(address, TIMESPEC.size))
    if seconds < 0 or not 0 <= nanoseconds < _NANOSECONDS:
        raise GuestError(Error.EINVAL)
    return min(int(seconds) * _NANOSECONDS + int(nanoseconds), WORD_MASK >> 1)


CALLS: dict[str, Callable[..., int]] = {
    **dict.fromkeys(("exit", "exit_group"), exit_),
    **dict.fromkeys(("getpid", "gettid", "set_tid_address"), process_id),
    **dict.fromkeys(("getuid", "geteuid", "getgid", "getegid"), user_id),
    **dict.fromkeys(("getppid", "sched_yield", "set_robust_list", "umask"), nothing),
    **dict.fromkeys(("getrlimit", "ugetrlimit"), getrlimit),
    **{
        call.__name__: call
        for call in (
            kill, tkill, tgkill, rt_sigaction, rt_sigprocmask, sigaltstack, uname, sysinfo, prctl, prlimit64,
            getrusage, times, sched_getaffinity, clock_gettime, clock_getres, gettimeofday, time, nanosleep,
            clock_nanosleep, getrandom, futex,
        )
    },
}  # fmt: skip

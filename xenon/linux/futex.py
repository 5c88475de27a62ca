"""The futex call: threads that wait at a word of memory until another one wakes them (futex(2))."""

from __future__ import annotations

import struct

from xenon.hardware.memory_map import physical
from xenon.linux.arguments import Function, Int, Pointer, Size, UnsignedInt
from xenon.linux.process import Process, Refusal
from xenon.linux.timing import clock_time, read_duration
from xenon.linux.uapi import Error, GuestError
from xenon.linux.waiting import ALL_BITS, Deadlock, WaitEnd, lock_key

_WAIT, _WAKE, _REQUEUE, _CMP_REQUEUE, _WAIT_BITSET, _WAKE_BITSET = 0, 1, 3, 4, 9, 10
_COMMAND_MASK = 0x7F
_CLOCK_REALTIME_FLAG = 256
_CLOCK_REALTIME, _CLOCK_MONOTONIC = 0, 1
_MOST = 0x7FFF_FFFF


def futex(
    process: Process,
    address: Pointer,
    operation: Int,
    value: UnsignedInt,
    limit: Size,
    other: Pointer,
    third: UnsignedInt,
) -> int:
    """`limit` is the address of a time limit, or a number of threads to requeue; `third` is a set of bits, or
    the value that CMP_REQUEUE compares with."""
    command = operation & _COMMAND_MASK
    on_realtime = bool(operation & _CLOCK_REALTIME_FLAG)
    if on_realtime and command != _WAIT_BITSET:
        raise GuestError(Error.ENOSYS)
    if command not in (_WAIT, _WAKE, _REQUEUE, _CMP_REQUEUE, _WAIT_BITSET, _WAKE_BITSET):
        raise GuestError(Error.ENOSYS)
    bits = third if command in (_WAIT_BITSET, _WAKE_BITSET) else ALL_BITS
    if address % 4:
        process.space.view(address, 4)
    if address % 4 or not bits:
        raise GuestError(Error.EINVAL)
    key = lock_key(physical(address))
    if command in (_WAKE, _WAKE_BITSET):
        return process.waits.wake(key, value, bits)
    if command in (_REQUEUE, _CMP_REQUEUE):
        return _requeue(process, address, value, limit, other, third if command == _CMP_REQUEUE else None)
    nanoseconds = None
    if limit:
        nanoseconds = read_duration(process, limit)
        if command == _WAIT_BITSET:
            clock = _CLOCK_REALTIME if on_realtime else _CLOCK_MONOTONIC
            nanoseconds = max(0, nanoseconds - clock_time(process, clock))
    try:
        outcome = process.waits.wait(key, lambda: _word(process, address) == value, nanoseconds, bits)
    except Deadlock as deadlock:
        raise Refusal(str(deadlock)) from None
    if outcome is not WaitEnd.WOKEN:
        raise GuestError(Error.ETIMEDOUT if outcome is WaitEnd.TIMED_OUT else Error.EAGAIN)
    return 0


def _requeue(process: Process, address: int, count: int, moved: int, other: int, expected: int | None) -> int:
    moved &= 0xFFFF_FFFF
    if other % 4 or count > _MOST or moved > _MOST:
        raise GuestError(Error.EINVAL)
    process.space.read(other, 4)
    result = process.waits.requeue(
        lock_key(physical(address)),
        count,
        lock_key(physical(other)),
        moved,
        lambda: expected is None or _word(process, address) == expected,
    )
    if result is None:
        raise GuestError(Error.EAGAIN)
    return result


def _word(process: Process, address: int) -> int:
    word: int = struct.unpack(">I", process.space.read(address, 4))[0]
    return word


CALLS: dict[str, Function] = {"futex": futex}

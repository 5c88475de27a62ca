"""System calls about the program itself: its end, identity, signals, limits and random bytes."""

from __future__ import annotations

import struct

from xenon.hardware.memory import Owner
from xenon.linux.arguments import Function, Int, Pointer, Size, UnsignedInt
from xenon.linux.descriptors import MOST_DESCRIPTORS
from xenon.linux.loading import STACK_GUARD_BYTES, USER_ID
from xenon.linux.owners import owner_named
from xenon.linux.process import PROCESS_ID, Exit, Process, Refusal
from xenon.linux.timing import NANOSECONDS, time_used
from xenon.linux.uapi import (
    IGNORED_SIGNALS,
    RLIMIT,
    RLIMIT_DESCRIPTORS,
    RLIMIT_INFINITY,
    RLIMIT_STACK,
    SIGACTION_BYTES,
    SIGALTSTACK,
    SIGNAL_COUNT,
    SIGNAL_IGNORE,
    Error,
    GuestError,
    Signal,
    pack_sysinfo,
    pack_uname,
)

_LONGEST_RANDOM = 1 << 20  # bytes in one call; a caller asks again for the rest
_SIGNAL_BLOCK, _SIGNAL_UNBLOCK, _SIGNAL_SET = 0, 1, 2
_SET_NAME, _SET_MAPPING, _MAPPING_NAME = 15, 0x53564D41, 0  # PR_SET_NAME, PR_SET_VMA, PR_SET_VMA_ANON_NAME
_GET_FLOAT_TRAPS, _SET_FLOAT_TRAPS, _MOST_FLOAT_TRAPS = 11, 12, 3  # PR_GET_FPEXC, PR_SET_FPEXC, precise
_LONGEST_MAPPING_NAME = 80  # bytes, as on Linux


def exit_(_process: Process, status: Int) -> int:
    raise Exit(status & 0xFF)


def kill(process: Process, target: Int, signal: Int) -> int:
    if target not in (PROCESS_ID, 0, -1):
        raise GuestError(Error.EPERM)
    return _raise(process, signal)


def tkill(process: Process, thread: Int, signal: Int) -> int:
    return kill(process, thread, signal)


def tgkill(process: Process, _group: Int, thread: Int, signal: Int) -> int:
    return kill(process, thread, signal)


def _raise(process: Process, number: int) -> int:
    if not 0 <= number <= SIGNAL_COUNT:
        raise GuestError(Error.EINVAL)
    handler = process.handler_of(number)
    if number == 0 or handler == SIGNAL_IGNORE or (handler == 0 and number in IGNORED_SIGNALS):
        return 0
    name = Signal(number).name if number in Signal.__members__.values() else f"signal {number}"
    if handler:
        raise Refusal(
            f"the program sends itself {name} to run its handler; the kernel runs handlers "
            "of floating-point exceptions only"
        )
    how = "aborted" if number == Signal.SIGABRT else "ended itself"
    raise Refusal(f"the program {how} ({name})", signal=number)


def rt_sigaction(process: Process, number: Int, new: Pointer, old: Pointer, _size: Size) -> int:
    if not 1 <= number <= SIGNAL_COUNT:
        raise GuestError(Error.EINVAL)
    if new and number == Signal.SIGKILL:
        raise GuestError(Error.EINVAL)
    with process.lock:
        before = process.signal_actions.get(number, bytes(SIGACTION_BYTES))
        if new:
            process.signal_actions[number] = process.space.read(new, SIGACTION_BYTES)
    if old:
        process.space.write(old, before)
    return 0


def rt_sigprocmask(process: Process, how: Int, new: Pointer, old: Pointer, _size: Size) -> int:
    with process.lock:
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


def sigaltstack(process: Process, new: Pointer, old: Pointer) -> int:
    with process.lock:
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


def uname(process: Process, address: Pointer) -> int:
    process.space.write(address, pack_uname())
    return 0


def sysinfo(process: Process, address: Pointer) -> int:
    memory = process.space.memory
    process.space.write(
        address, pack_sysinfo(time_used(process) // NANOSECONDS, memory.size, memory.available)
    )
    return 0


def prctl(process: Process, option: Int, what: Size, address: Pointer, _size: Size, name: Pointer) -> int:
    """The thread's name, which nobody reads; the name of a mapping, which memory's account shows; whether
    enabled floating-point exceptions trap: precisely in every mode but 0, in all threads."""
    if option == _SET_MAPPING and what == _MAPPING_NAME:
        given = process.space.read_string(name, _LONGEST_MAPPING_NAME).decode("ascii", "replace")
        if not (given.isascii() and given.isprintable()):
            raise GuestError(Error.EINVAL)
        with process.space.lock:
            _name_mapping(process, address, given)
    elif option == _GET_FLOAT_TRAPS:
        process.space.write(what, struct.pack(">I", process.float_traps))
    elif option == _SET_FLOAT_TRAPS and what <= _MOST_FLOAT_TRAPS:
        process.float_traps = what
    elif option != _SET_NAME:
        raise GuestError(Error.EINVAL)
    return 0


def _name_mapping(process: Process, address: int, given: str) -> None:
    region = process.space.memory.region_at(address)
    if region is None or region.owner is Owner.SYSTEM or region.address != address:
        raise GuestError(Error.EINVAL)
    owner, purpose = owner_named(given)
    renamed = process.space.memory.rename(region, purpose or region.purpose, owner)
    process.heap = renamed if process.heap == region else process.heap


def getrlimit(process: Process, resource: UnsignedInt, address: Pointer) -> int:
    limits = {
        RLIMIT_STACK: process.loaded.stack.size - STACK_GUARD_BYTES,
        RLIMIT_DESCRIPTORS: MOST_DESCRIPTORS,
    }
    limit = limits.get(resource, RLIMIT_INFINITY)
    process.space.write(address, RLIMIT.pack(limit, limit))
    return 0


def prlimit64(process: Process, target: Int, resource: UnsignedInt, new: Pointer, old: Pointer) -> int:
    if target not in (0, PROCESS_ID) or new:
        raise GuestError(Error.EPERM)
    return getrlimit(process, resource, old) if old else 0


def sched_getaffinity(process: Process, _target: Int, size: UnsignedInt, address: Pointer) -> int:
    if size < 8:
        raise GuestError(Error.EINVAL)
    process.space.write(address, struct.pack(">Q", (1 << process.tasks.count) - 1))
    return 8


def getrandom(process: Process, address: Pointer, size: Size, _flags: UnsignedInt) -> int:
    size = min(size, _LONGEST_RANDOM)
    with process.space.writing(address, size) as target:
        target[:] = process.entropy(size)
    return size


CALLS: dict[str, Function] = {
    **dict.fromkeys(("exit", "exit_group"), exit_),
    **dict.fromkeys(("getpid", "gettid", "set_tid_address"), process_id),
    **dict.fromkeys(("getuid", "geteuid", "getgid", "getegid"), user_id),
    **dict.fromkeys(("getppid", "sched_yield", "set_robust_list", "umask"), nothing),
    **dict.fromkeys(("getrlimit", "ugetrlimit"), getrlimit),
    **{
        call.__name__: call
        for call in (
            kill, tkill, tgkill, rt_sigaction, rt_sigprocmask, sigaltstack, uname, sysinfo, prctl, prlimit64,
            sched_getaffinity, getrandom,
        )
    },
}  # fmt: skip
